DROP TRIGGER audit_chains_are_cut_where_the_log_knows;
CREATE TRIGGER audit_chains_are_cut_where_the_log_knows BEFORE UPDATE OF pruned_seq ON audit_chains
WHEN new.pruned_seq < old.pruned_seq
    OR new.pruned_seq >= coalesce((SELECT max(seq) FROM audit_events WHERE org_id = old.org_id), 0)
    OR NOT EXISTS (SELECT 1 FROM audit_leaves WHERE org_id = old.org_id AND seq = new.pruned_seq)
BEGIN SELECT RAISE(ABORT, 'a trail is pruned up to an event of the log, and not to its end'); END;
DROP INDEX audit_checkpoints_by_time;
DROP TRIGGER audit_chains_are_kept;
DROP TRIGGER audit_chains_stay;
DROP TRIGGER audit_chains_begin;
DROP TRIGGER audit_checkpoints_follow;
DROP TRIGGER audit_nodes_follow;
DROP TRIGGER audit_leaves_follow;
DROP TRIGGER audit_events_follow;
DROP TRIGGER audit_logs_begin;
DROP TRIGGER audit_logs_are_kept;
DROP TRIGGER audit_logs_stay;
-- A log that follows others is sealed with what it follows: an earlier version begins another.
ALTER TABLE audit_logs DROP COLUMN follows;
ALTER TABLE audit_leaves DROP COLUMN head;
