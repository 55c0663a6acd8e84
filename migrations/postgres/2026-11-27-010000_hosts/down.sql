-- It answers other columns then; the policies make it anew.
DROP FUNCTION IF EXISTS pawl_find_lends(text, bigint, text[], bigint[], bigint[], bigint[], bigint[], text[], text[], text[],
    boolean[], bigint[], bigint[], bigint[]);
ALTER TABLE org_settings DROP COLUMN allowed_hosts;
