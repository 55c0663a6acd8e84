-- A leaf names the hash of the event that it speaks of, so that it can be held against its node also when that event
-- was let go of.
DROP TRIGGER audit_leaves_stay;
ALTER TABLE audit_leaves ADD COLUMN head BLOB NOT NULL
    DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';
UPDATE audit_leaves SET head = coalesce(
    (SELECT hash FROM audit_events AS e WHERE e.org_id = audit_leaves.org_id AND e.seq = audit_leaves.seq),
    (SELECT pruned_hash FROM audit_chains AS c
     WHERE c.org_id = audit_leaves.org_id AND c.pruned_seq = audit_leaves.seq),
    head);
CREATE TRIGGER audit_leaves_stay BEFORE UPDATE ON audit_leaves
BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;

-- What a log goes on from, as its key's seal says too: the logs before it, and what witnesses had of them when a
-- restore was accepted. Empty for the first.
ALTER TABLE audit_logs ADD COLUMN follows TEXT NOT NULL DEFAULT '';
CREATE TRIGGER audit_logs_stay BEFORE UPDATE OF id, origin, public_key, created_at, follows ON audit_logs
BEGIN SELECT RAISE(ABORT, 'a log stays as it was begun'); END;
CREATE TRIGGER audit_logs_are_kept BEFORE DELETE ON audit_logs
BEGIN SELECT RAISE(ABORT, 'a log stays as it was begun'); END;
CREATE TRIGGER audit_logs_begin BEFORE INSERT ON audit_logs
WHEN EXISTS (SELECT 1 FROM audit_logs WHERE id = new.id OR origin = new.origin)
BEGIN SELECT RAISE(ABORT, 'a log stays as it was begun'); END;

-- INSERT OR REPLACE is no way round the triggers of UPDATE and DELETE: what is there is not inserted again, and what
-- comes follows the last.
CREATE TRIGGER audit_events_follow BEFORE INSERT ON audit_events
WHEN new.seq <> 1 + coalesce(
    (SELECT max(seq) FROM audit_events WHERE org_id = new.org_id),
    (SELECT pruned_seq FROM audit_chains WHERE org_id = new.org_id), 0)
BEGIN SELECT RAISE(ABORT, 'an event of the trail follows the last one'); END;
CREATE TRIGGER audit_leaves_follow BEFORE INSERT ON audit_leaves
WHEN new.idx <> coalesce((SELECT max(idx) + 1 FROM audit_leaves WHERE log_id = new.log_id), 0)
BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
CREATE TRIGGER audit_nodes_follow BEFORE INSERT ON audit_nodes
WHEN new.idx <> coalesce((SELECT max(idx) + 1 FROM audit_nodes WHERE log_id = new.log_id AND level = new.level), 0)
BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
CREATE TRIGGER audit_checkpoints_follow BEFORE INSERT ON audit_checkpoints
WHEN new.size <= (SELECT max(size) FROM audit_checkpoints WHERE log_id = new.log_id)
BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
CREATE TRIGGER audit_chains_begin BEFORE INSERT ON audit_chains
WHEN new.pruned_seq <> 0 OR EXISTS (SELECT 1 FROM audit_chains WHERE org_id = new.org_id)
BEGIN SELECT RAISE(ABORT, 'a chain begins once, and with its first event'); END;
CREATE TRIGGER audit_chains_stay BEFORE UPDATE OF org_id, salt ON audit_chains
BEGIN SELECT RAISE(ABORT, 'a chain stays whose it is'); END;
CREATE TRIGGER audit_chains_are_kept BEFORE DELETE ON audit_chains
BEGIN SELECT RAISE(ABORT, 'a chain stays whose it is'); END;

-- When checkpoints were made, by time.
CREATE INDEX audit_checkpoints_by_time ON audit_checkpoints (created_at, log_id, size);

-- The boundary only moves on, to an event that the log speaks of by its hash, and never to the newest; nor to one that
-- a checkpoint spoke of first within 90 days of the newest checkpoint there is.
DROP TRIGGER audit_chains_are_cut_where_the_log_knows;
CREATE TRIGGER audit_chains_are_cut_where_the_log_knows BEFORE UPDATE OF pruned_seq, pruned_hash ON audit_chains
WHEN new.pruned_seq < old.pruned_seq
    OR new.pruned_seq >= coalesce((SELECT max(seq) FROM audit_events WHERE org_id = old.org_id), 0)
    OR NOT EXISTS (
        SELECT 1 FROM audit_leaves AS leaf
        JOIN audit_checkpoints AS told ON told.log_id = leaf.log_id AND told.size = (
            SELECT min(size) FROM audit_checkpoints WHERE log_id = leaf.log_id AND size > leaf.idx)
        WHERE leaf.org_id = old.org_id AND leaf.seq = new.pruned_seq AND leaf.head = new.pruned_hash
            AND told.created_at <= (SELECT max(created_at) FROM audit_checkpoints) - 7776000000000)
BEGIN SELECT RAISE(ABORT, 'a trail is pruned up to an event of the log that is 90 days old, and not to its end'); END;
