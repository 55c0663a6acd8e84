-- A lend writes into as few indexes as its looks need.
DROP INDEX leases_by_owner;
DROP INDEX leases_open_by_connection;
DROP INDEX leases_open_by_org;

-- How many are out, of an org and of a connection, and which: there is a cap on those of an org.
CREATE INDEX leases_open_by_org ON leases (org_id, expires_at, connection_id) WHERE ended_at IS NULL;
-- The exclusive one of a connection.
CREATE INDEX leases_open_exclusive ON leases (org_id, connection_id, expires_at) WHERE ended_at IS NULL AND purpose = 'sync';
