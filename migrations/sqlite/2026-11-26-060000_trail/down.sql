-- The events stay; that they may not be changed, and what stood over them, goes. An `unanswered` lease is one that
-- was handed back with `failed`.
DROP TABLE audit_witnesses;
DROP TABLE audit_checkpoints;
DROP TABLE audit_nodes;
DROP TABLE audit_leaves;
DROP TABLE audit_logs;
DROP TRIGGER audit_events_stay;
DROP TRIGGER audit_events_are_kept;
DROP TABLE audit_chains;
ALTER TABLE org_settings DROP COLUMN next_retention_from;
ALTER TABLE org_settings DROP COLUMN next_retention_days;
ALTER TABLE org_settings DROP COLUMN retention_days;
CREATE TABLE leases_anew (
    id            TEXT   NOT NULL PRIMARY KEY,
    org_id        TEXT   NOT NULL,
    user_id       TEXT   NOT NULL,
    connection_id TEXT   NOT NULL,
    client_id     TEXT   NOT NULL,
    purpose       TEXT   NOT NULL CHECK (purpose IN ('sync', 'check', 'other')),
    run_id        TEXT,
    revision      BIGINT NOT NULL,
    fence         BIGINT NOT NULL,
    lent_at       BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    ended_at      BIGINT,
    outcome       TEXT CHECK (outcome IN ('ok', 'failed', 'auth_failed', 'forgotten', 'frozen')),
    records       BIGINT,
    UNIQUE (connection_id, fence)
);
INSERT INTO leases_anew (id, org_id, user_id, connection_id, client_id, purpose, run_id, revision, fence, lent_at,
    expires_at, ended_at, outcome, records)
SELECT id, org_id, user_id, connection_id, client_id, purpose, run_id, revision, fence, lent_at,
    expires_at, ended_at, CASE outcome WHEN 'unanswered' THEN 'failed' ELSE outcome END, records
FROM leases;
DROP TABLE leases;
ALTER TABLE leases_anew RENAME TO leases;
CREATE INDEX leases_by_owner ON leases (org_id, user_id, id);
CREATE INDEX leases_open_by_org ON leases (org_id, expires_at) WHERE ended_at IS NULL;
CREATE INDEX leases_open_by_connection ON leases (org_id, connection_id, expires_at) WHERE ended_at IS NULL;
CREATE INDEX leases_open_by_end ON leases (expires_at) WHERE ended_at IS NULL;
