-- It answers other columns then; the policies make it anew.
DROP FUNCTION IF EXISTS pawl_find_lends(text, bigint, text[], bigint[], bigint[], bigint[], bigint[], text[], text[], text[],
    boolean[], bigint[], bigint[], bigint[]);
ALTER TABLE connections DROP COLUMN may_write;
ALTER TABLE org_settings DROP COLUMN readable;
ALTER TABLE org_settings DROP COLUMN lend_to_writers;
ALTER TABLE org_settings DROP COLUMN injection_only;
