-- The switch: an org whose row says since when it is frozen lends nothing; the org without a name ('') is the
-- whole vault. An org without a row has never been frozen.
CREATE TABLE org_settings (
    org_id     TEXT   NOT NULL PRIMARY KEY,
    frozen_at  BIGINT,
    updated_at BIGINT NOT NULL
);

-- A lease may end with `frozen`. SQLite changes no column's rules, so the table is made anew and its rows are
-- carried over; no other table refers to it.
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
    expires_at, ended_at, outcome, records
FROM leases;
DROP TABLE leases;
ALTER TABLE leases_anew RENAME TO leases;
CREATE INDEX leases_by_owner ON leases (org_id, user_id, id);

-- How many are out, of an org and of a connection; and which a freeze ends.
CREATE INDEX leases_open_by_org ON leases (org_id, expires_at) WHERE ended_at IS NULL;
CREATE INDEX leases_open_by_connection ON leases (org_id, connection_id, expires_at) WHERE ended_at IS NULL;
-- One that runs out keeps no end, so these only grow: a freeze of the vault begins at its own moment.
CREATE INDEX leases_open_by_end ON leases (expires_at) WHERE ended_at IS NULL;
