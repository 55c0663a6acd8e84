-- A lease that a freeze ended is one that was handed back with `failed` then. The owner sees no row until it says so.
DROP TABLE org_settings;
DROP INDEX leases_open_by_org;
DROP INDEX leases_open_by_connection;
ALTER TABLE leases NO FORCE ROW LEVEL SECURITY;
UPDATE leases SET outcome = 'failed' WHERE outcome = 'frozen';
ALTER TABLE leases FORCE ROW LEVEL SECURITY;
ALTER TABLE leases
    DROP CONSTRAINT leases_outcome_check,
    ADD CONSTRAINT leases_outcome_check CHECK (outcome IN ('ok', 'failed', 'auth_failed', 'forgotten'));
