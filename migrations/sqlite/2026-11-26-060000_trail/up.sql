-- What is known of each org's chain beside its events (of the vault's own as ''): made with its first event.
-- `salt` keeps a leaf of the log from telling whose it is. Up to `pruned_seq`, whose event had `pruned_hash`, nothing
-- is kept any more; the newest event always is. `day_seq` is the number of the last event before the UTC day `day`
-- (days since 1970) began: what came since is held against the day's quota.
CREATE TABLE audit_chains (
    org_id      TEXT   NOT NULL PRIMARY KEY,
    salt        BLOB   NOT NULL CHECK (length(salt) = 32),
    pruned_seq  BIGINT NOT NULL DEFAULT 0,
    pruned_hash BLOB   NOT NULL DEFAULT (zeroblob(32)),
    day         BIGINT NOT NULL,
    day_seq     BIGINT NOT NULL
);
INSERT INTO audit_chains (org_id, salt, day, day_seq)
SELECT org_id, randomblob(32), 0, max(seq) FROM audit_events GROUP BY org_id;

-- The trail only grows at its end; what is pruned goes from its beginning, up to the boundary.
CREATE TRIGGER audit_events_stay BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'an event of the trail is never changed'); END;
CREATE TRIGGER audit_events_are_kept BEFORE DELETE ON audit_events
WHEN old.seq > coalesce((SELECT pruned_seq FROM audit_chains WHERE org_id = old.org_id), 0)
BEGIN SELECT RAISE(ABORT, 'an event of the trail is kept until it is pruned'); END;

-- The boundary only moves on, to an event that the log speaks of, and never to the newest.
CREATE TRIGGER audit_chains_are_cut_where_the_log_knows BEFORE UPDATE OF pruned_seq ON audit_chains
WHEN new.pruned_seq < old.pruned_seq
    OR new.pruned_seq >= coalesce((SELECT max(seq) FROM audit_events WHERE org_id = old.org_id), 0)
    OR NOT EXISTS (SELECT 1 FROM audit_leaves WHERE org_id = old.org_id AND seq = new.pruned_seq)
BEGIN SELECT RAISE(ABORT, 'a trail is pruned up to an event of the log, and not to its end'); END;

-- The logs (RFC 6962) that stand over all chains, each with the key that signs its checkpoints, sealed like every
-- secret. The newest is the one in use; another begins when an old database was put back and that was accepted.
CREATE TABLE audit_logs (
    id         TEXT   NOT NULL PRIMARY KEY,
    origin     TEXT   NOT NULL UNIQUE,
    public_key TEXT   NOT NULL,
    sealed     TEXT   NOT NULL,
    key_id     TEXT   NOT NULL REFERENCES keys (id),
    created_at BIGINT NOT NULL
);
-- Leaf number `idx` (from 0) says that the event `seq` was the last of its org's.
CREATE TABLE audit_leaves (
    log_id TEXT   NOT NULL,
    idx    BIGINT NOT NULL,
    org_id TEXT   NOT NULL,
    seq    BIGINT NOT NULL,
    PRIMARY KEY (log_id, idx)
);
CREATE INDEX audit_leaves_by_org ON audit_leaves (org_id, log_id, seq);
-- The hashes of whole subtrees of 2^level leaves: node `idx` of level 0 is leaf `idx`.
CREATE TABLE audit_nodes (
    log_id TEXT   NOT NULL,
    level  BIGINT NOT NULL,
    idx    BIGINT NOT NULL,
    hash   BLOB   NOT NULL,
    PRIMARY KEY (log_id, level, idx)
);
-- Signed notes (C2SP tlog-checkpoint), as they went to the witnesses.
CREATE TABLE audit_checkpoints (
    log_id     TEXT   NOT NULL,
    size       BIGINT NOT NULL,
    root       BLOB   NOT NULL,
    note       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (log_id, size)
);
-- The newest checkpoint that each witness has taken.
CREATE TABLE audit_witnesses (
    log_id   TEXT   NOT NULL,
    witness  TEXT   NOT NULL,
    size     BIGINT NOT NULL,
    taken_at BIGINT NOT NULL,
    PRIMARY KEY (log_id, witness)
);
CREATE TRIGGER audit_leaves_stay BEFORE UPDATE ON audit_leaves
BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
CREATE TRIGGER audit_leaves_are_kept BEFORE DELETE ON audit_leaves
BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
CREATE TRIGGER audit_nodes_stay BEFORE UPDATE ON audit_nodes
BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
CREATE TRIGGER audit_nodes_are_kept BEFORE DELETE ON audit_nodes
BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
CREATE TRIGGER audit_checkpoints_stay BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
CREATE TRIGGER audit_checkpoints_are_kept BEFORE DELETE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;

-- How long an org's events are kept. A shorter time that was asked for (`next_retention_days`) counts from then on.
ALTER TABLE org_settings ADD COLUMN retention_days BIGINT CHECK (retention_days BETWEEN 90 AND 36500);
ALTER TABLE org_settings ADD COLUMN next_retention_days BIGINT CHECK (next_retention_days BETWEEN 90 AND 36500);
ALTER TABLE org_settings ADD COLUMN next_retention_from BIGINT;

-- A lease may end with `unanswered`: granted too late for whoever asked.
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
    outcome       TEXT CHECK (outcome IN ('ok', 'failed', 'auth_failed', 'forgotten', 'frozen', 'unanswered')),
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
CREATE INDEX leases_open_by_org ON leases (org_id, expires_at) WHERE ended_at IS NULL;
CREATE INDEX leases_open_by_connection ON leases (org_id, connection_id, expires_at) WHERE ended_at IS NULL;
CREATE INDEX leases_open_by_end ON leases (expires_at) WHERE ended_at IS NULL;
