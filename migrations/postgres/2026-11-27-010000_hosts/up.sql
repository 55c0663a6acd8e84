-- The hosts that an org lets be called, a JSON array of names, addresses and *.suffixes; any public one when NULL.
ALTER TABLE org_settings ADD COLUMN allowed_hosts TEXT;
-- It answers another column now; the policies make it anew.
DROP FUNCTION IF EXISTS pawl_find_lends(text, bigint, text[], bigint[], bigint[], bigint[], bigint[], text[], text[], text[],
    boolean[], bigint[], bigint[], bigint[]);
