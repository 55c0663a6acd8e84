-- The events stay; that they may not be changed, and what stood over them, goes. An `unanswered` lease is one that
-- was handed back with `failed`.
DROP TABLE audit_witnesses;
DROP TABLE audit_checkpoints;
DROP TABLE audit_nodes;
DROP TABLE audit_leaves;
DROP TABLE audit_logs;
DROP TRIGGER audit_events_stay ON audit_events;
DROP TRIGGER audit_events_whole ON audit_events;
DROP FUNCTION pawl_trail_stays;
DROP FUNCTION pawl_log_grows;
DROP TABLE audit_chains;
DROP FUNCTION pawl_boundary_moves_on;
ALTER TABLE org_settings
    DROP COLUMN next_retention_from,
    DROP COLUMN next_retention_days,
    DROP COLUMN retention_days;
UPDATE leases SET outcome = 'failed' WHERE outcome = 'unanswered';
ALTER TABLE leases
    DROP CONSTRAINT leases_outcome_check,
    ADD CONSTRAINT leases_outcome_check CHECK (outcome IN ('ok', 'failed', 'auth_failed', 'forgotten', 'frozen'));
