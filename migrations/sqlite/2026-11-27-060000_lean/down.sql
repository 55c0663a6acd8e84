DROP INDEX leases_open_exclusive;
DROP INDEX leases_open_by_org;
CREATE INDEX leases_by_owner ON leases (org_id, user_id, id);
CREATE INDEX leases_open_by_org ON leases (org_id, expires_at) WHERE ended_at IS NULL;
CREATE INDEX leases_open_by_connection ON leases (org_id, connection_id, expires_at) WHERE ended_at IS NULL;
