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
DROP TRIGGER audit_chains_are_cut_where_the_log_knows ON audit_chains;
CREATE TRIGGER audit_chains_are_cut_where_the_log_knows BEFORE UPDATE OF pruned_seq ON audit_chains
    FOR EACH ROW EXECUTE FUNCTION pawl_boundary_moves_on();
DROP INDEX audit_checkpoints_by_time;
DROP TRIGGER audit_chains_are_kept ON audit_chains;
DROP TRIGGER audit_chains_stay ON audit_chains;
DROP TRIGGER audit_chains_begin ON audit_chains;
DROP FUNCTION pawl_chain_stays;
DROP TRIGGER audit_events_follow ON audit_events;
DROP FUNCTION pawl_trail_follows;
DROP TRIGGER audit_logs_are_kept ON audit_logs;
DROP TRIGGER audit_logs_stay ON audit_logs;
DROP FUNCTION pawl_log_stays;
-- A log that follows others is sealed with what it follows: an earlier version begins another.
ALTER TABLE audit_logs DROP COLUMN follows;
ALTER TABLE audit_leaves DROP COLUMN head;
