-- A lease that a freeze ended is one that was handed back with `failed` then.
DROP TABLE org_settings;
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
    outcome       TEXT CHECK (outcome IN ('ok', 'failed', 'auth_failed', 'forgotten')),
    records       BIGINT,
    UNIQUE (connection_id, fence)
);
INSERT INTO leases_anew (id, org_id, user_id, connection_id, client_id, purpose, run_id, revision, fence, lent_at,
    expires_at, ended_at, outcome, records)
SELECT id, org_id, user_id, connection_id, client_id, purpose, run_id, revision, fence, lent_at,
    expires_at, ended_at,
    CASE outcome WHEN 'frozen' THEN 'failed' ELSE outcome END, records
FROM leases;
DROP TABLE leases;
ALTER TABLE leases_anew RENAME TO leases;
CREATE INDEX leases_by_owner ON leases (org_id, user_id, id);
