-- What is known of each org's chain beside its events (of the vault's own as ''): made with its first event.
-- `salt` keeps a leaf of the log from telling whose it is. Up to `pruned_seq`, whose event had `pruned_hash`, nothing
-- is kept any more; the newest event always is. `day_seq` is the number of the last event before the UTC day `day`
-- (days since 1970) began: what came since is held against the day's quota.
CREATE TABLE audit_chains (
    org_id      TEXT   NOT NULL PRIMARY KEY,
    salt        BYTEA  NOT NULL CHECK (length(salt) = 32),
    pruned_seq  BIGINT NOT NULL DEFAULT 0,
    pruned_hash BYTEA  NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    day         BIGINT NOT NULL,
    day_seq     BIGINT NOT NULL
);
-- Strong randomness: two UUIDs of version 4, hashed, so that their fixed bits are none.
INSERT INTO audit_chains (org_id, salt, day, day_seq)
SELECT org_id, sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
    || uuid_send(gen_random_uuid())), 0, max(seq)
FROM audit_events GROUP BY org_id;

-- The trail only grows at its end; what is pruned goes from its beginning, up to the boundary. The roles' grants say
-- so too; this holds whoever asks.
CREATE OR REPLACE FUNCTION pawl_trail_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF tg_op = 'DELETE' AND old.seq <= (SELECT pruned_seq FROM public.audit_chains WHERE org_id = old.org_id) THEN
        RETURN old;
    END IF;
    RAISE EXCEPTION 'an event of the trail is never changed, and kept until it is pruned';
END
$$;
CREATE TRIGGER audit_events_stay BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION pawl_trail_stays();
CREATE OR REPLACE FUNCTION pawl_log_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% only grows', tg_table_name;
END
$$;
CREATE TRIGGER audit_events_whole BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION pawl_log_grows();

-- The boundary only moves on, to an event that the log speaks of, and never to the newest.
CREATE OR REPLACE FUNCTION pawl_boundary_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.pruned_seq < old.pruned_seq
        OR new.pruned_seq >= (SELECT seq FROM public.audit_events WHERE org_id = old.org_id ORDER BY seq DESC LIMIT 1)
        OR NOT EXISTS (SELECT FROM public.audit_leaves WHERE org_id = old.org_id AND seq = new.pruned_seq)
    THEN
        RAISE EXCEPTION 'a trail is pruned up to an event of the log, and not to its end';
    END IF;
    RETURN new;
END
$$;
CREATE TRIGGER audit_chains_are_cut_where_the_log_knows BEFORE UPDATE OF pruned_seq ON audit_chains
    FOR EACH ROW EXECUTE FUNCTION pawl_boundary_moves_on();

-- The logs (RFC 6962) that stand over all chains, each with the key that signs its checkpoints, sealed like every
-- secret. The newest is the one in use; another begins when an old database was put back and that was accepted.
CREATE TABLE audit_logs (
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    origin     TEXT   NOT NULL UNIQUE,
    public_key TEXT   NOT NULL,
    sealed     TEXT   NOT NULL,
    key_id     TEXT   NOT NULL REFERENCES keys (id),
    created_at BIGINT NOT NULL
);
-- Leaf number `idx` (from 0) says that the event `seq` was the last of its org's.
CREATE TABLE audit_leaves (
    log_id TEXT   COLLATE "C" NOT NULL,
    idx    BIGINT NOT NULL,
    org_id TEXT   NOT NULL,
    seq    BIGINT NOT NULL,
    PRIMARY KEY (log_id, idx)
);
CREATE INDEX audit_leaves_by_org ON audit_leaves (org_id, log_id, seq);
-- The hashes of whole subtrees of 2^level leaves: node `idx` of level 0 is leaf `idx`.
CREATE TABLE audit_nodes (
    log_id TEXT   COLLATE "C" NOT NULL,
    level  BIGINT NOT NULL,
    idx    BIGINT NOT NULL,
    hash   BYTEA  NOT NULL,
    PRIMARY KEY (log_id, level, idx)
);
-- Signed notes (C2SP tlog-checkpoint), as they went to the witnesses.
CREATE TABLE audit_checkpoints (
    log_id     TEXT   COLLATE "C" NOT NULL,
    size       BIGINT NOT NULL,
    root       BYTEA  NOT NULL,
    note       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (log_id, size)
);
-- The newest checkpoint that each witness has taken.
CREATE TABLE audit_witnesses (
    log_id   TEXT   COLLATE "C" NOT NULL,
    witness  TEXT   NOT NULL,
    size     BIGINT NOT NULL,
    taken_at BIGINT NOT NULL,
    PRIMARY KEY (log_id, witness)
);
CREATE TRIGGER audit_leaves_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_leaves
    FOR EACH STATEMENT EXECUTE FUNCTION pawl_log_grows();
CREATE TRIGGER audit_nodes_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_nodes
    FOR EACH STATEMENT EXECUTE FUNCTION pawl_log_grows();
CREATE TRIGGER audit_checkpoints_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION pawl_log_grows();

-- How long an org's events are kept. A shorter time that was asked for (`next_retention_days`) counts from then on.
ALTER TABLE org_settings
    ADD COLUMN retention_days BIGINT CHECK (retention_days BETWEEN 90 AND 36500),
    ADD COLUMN next_retention_days BIGINT CHECK (next_retention_days BETWEEN 90 AND 36500),
    ADD COLUMN next_retention_from BIGINT;

-- A lease may end with `unanswered`: granted too late for whoever asked.
ALTER TABLE leases
    DROP CONSTRAINT leases_outcome_check,
    ADD CONSTRAINT leases_outcome_check
        CHECK (outcome IN ('ok', 'failed', 'auth_failed', 'forgotten', 'frozen', 'unanswered'));
