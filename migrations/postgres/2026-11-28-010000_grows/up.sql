-- What comes to a log follows the last, as on SQLite: leaves and the nodes of each level have no gap, no checkpoint
-- stands over less than the newest. Looked at once for all that a statement adds.
CREATE OR REPLACE FUNCTION pawl_leaves_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        WITH run AS MATERIALIZED (
            SELECT log_id, min(idx) - 1 AS last, max(idx) - min(idx) + 1 <> count(*) AS is_torn
            FROM added GROUP BY log_id)
        SELECT FROM run
        WHERE is_torn OR (last <> -1 AND NOT EXISTS (
            SELECT FROM public.audit_leaves AS before WHERE before.log_id = run.log_id AND before.idx = run.last)))
    THEN
        RAISE EXCEPTION 'the log only grows';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_leaves_follow AFTER INSERT ON audit_leaves REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION pawl_leaves_follow();
CREATE OR REPLACE FUNCTION pawl_nodes_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        WITH run AS MATERIALIZED (
            SELECT log_id, level, min(idx) - 1 AS last, max(idx) - min(idx) + 1 <> count(*) AS is_torn
            FROM added GROUP BY log_id, level)
        SELECT FROM run
        WHERE is_torn OR (last <> -1 AND NOT EXISTS (
            SELECT FROM public.audit_nodes AS before
            WHERE before.log_id = run.log_id AND before.level = run.level AND before.idx = run.last)))
    THEN
        RAISE EXCEPTION 'the log only grows';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_nodes_follow AFTER INSERT ON audit_nodes REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION pawl_nodes_follow();
-- A row at a time, each looked at with those before it.
CREATE OR REPLACE FUNCTION pawl_checkpoints_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM public.audit_checkpoints WHERE log_id = new.log_id AND size >= new.size) THEN
        RAISE EXCEPTION 'the log only grows';
    END IF;
    RETURN new;
END
$$;
CREATE TRIGGER audit_checkpoints_follow BEFORE INSERT ON audit_checkpoints
    FOR EACH ROW EXECUTE FUNCTION pawl_checkpoints_follow();
