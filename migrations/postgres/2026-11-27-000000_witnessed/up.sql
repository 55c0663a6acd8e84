-- A leaf names the hash of the event that it speaks of, so that it can be held against its node also when that event
-- was let go of.
ALTER TABLE audit_leaves ADD COLUMN head BYTEA NOT NULL DEFAULT decode(repeat('00', 32), 'hex');
ALTER TABLE audit_leaves DISABLE TRIGGER audit_leaves_grow;
ALTER TABLE audit_leaves NO FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_chains NO FORCE ROW LEVEL SECURITY;
UPDATE audit_leaves SET head = coalesce(
    (SELECT hash FROM audit_events AS e WHERE e.org_id = audit_leaves.org_id AND e.seq = audit_leaves.seq),
    (SELECT pruned_hash FROM audit_chains AS c
     WHERE c.org_id = audit_leaves.org_id AND c.pruned_seq = audit_leaves.seq),
    head);
ALTER TABLE audit_chains FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_leaves FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_leaves ENABLE TRIGGER audit_leaves_grow;

-- What a log goes on from, as its key's seal says too: the logs before it, and what witnesses had of them when a
-- restore was accepted. Empty for the first.
ALTER TABLE audit_logs ADD COLUMN follows TEXT NOT NULL DEFAULT '';
CREATE OR REPLACE FUNCTION pawl_log_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a log stays as it was begun';
END
$$;
CREATE TRIGGER audit_logs_stay BEFORE UPDATE OF id, origin, public_key, created_at, follows ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION pawl_log_stays();
CREATE TRIGGER audit_logs_are_kept BEFORE DELETE OR TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION pawl_log_stays();

-- What comes follows the last: an event has the one before it there, or is the first of a chain of which nothing was
-- let go. Looked at once for all that a statement adds.
CREATE OR REPLACE FUNCTION pawl_trail_follows() RETURNS trigger LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added
        WHERE NOT EXISTS (
                SELECT FROM public.audit_events AS before
                WHERE before.org_id = added.org_id AND before.seq = added.seq - 1)
            AND (added.seq <> 1 OR EXISTS (
                SELECT FROM public.audit_chains AS chain WHERE chain.org_id = added.org_id AND chain.pruned_seq > 0)))
    THEN
        RAISE EXCEPTION 'an event of the trail follows the last one';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_events_follow AFTER INSERT ON audit_events REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION pawl_trail_follows();
CREATE OR REPLACE FUNCTION pawl_chain_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF tg_op = 'INSERT' AND new.pruned_seq = 0 THEN
        RETURN new;
    END IF;
    RAISE EXCEPTION 'a chain begins with its first event, and stays whose it is';
END
$$;
CREATE TRIGGER audit_chains_begin BEFORE INSERT ON audit_chains
    FOR EACH ROW EXECUTE FUNCTION pawl_chain_stays();
CREATE TRIGGER audit_chains_stay BEFORE UPDATE OF org_id, salt ON audit_chains
    FOR EACH STATEMENT EXECUTE FUNCTION pawl_chain_stays();
CREATE TRIGGER audit_chains_are_kept BEFORE DELETE OR TRUNCATE ON audit_chains
    FOR EACH STATEMENT EXECUTE FUNCTION pawl_chain_stays();

-- When checkpoints were made, by time.
CREATE INDEX audit_checkpoints_by_time ON audit_checkpoints (created_at, log_id, size);

-- The boundary only moves on, to an event that the log speaks of by its hash, and never to the newest; nor to one that
-- a checkpoint spoke of first within 90 days of the newest checkpoint there is.
CREATE OR REPLACE FUNCTION pawl_boundary_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.pruned_seq < old.pruned_seq
        OR new.pruned_seq >= (SELECT seq FROM public.audit_events WHERE org_id = old.org_id ORDER BY seq DESC LIMIT 1)
        OR NOT EXISTS (
            SELECT FROM public.audit_leaves AS leaf
            JOIN public.audit_checkpoints AS told ON told.log_id = leaf.log_id AND told.size = (
                SELECT min(size) FROM public.audit_checkpoints WHERE log_id = leaf.log_id AND size > leaf.idx)
            WHERE leaf.org_id = old.org_id AND leaf.seq = new.pruned_seq AND leaf.head = new.pruned_hash
                AND told.created_at <= (SELECT max(created_at) FROM public.audit_checkpoints) - 7776000000000)
    THEN
        RAISE EXCEPTION 'a trail is pruned up to an event of the log that is 90 days old, and not to its end';
    END IF;
    RETURN new;
END
$$;
DROP TRIGGER audit_chains_are_cut_where_the_log_knows ON audit_chains;
CREATE TRIGGER audit_chains_are_cut_where_the_log_knows BEFORE UPDATE OF pruned_seq, pruned_hash ON audit_chains
    FOR EACH ROW EXECUTE FUNCTION pawl_boundary_moves_on();
