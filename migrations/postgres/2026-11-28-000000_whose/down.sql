-- As it was told before; the policies make them anew.
DROP FUNCTION IF EXISTS pawl_scope() CASCADE;
DROP FUNCTION IF EXISTS pawl_count_open(text[], text[], bigint[], bigint[]);
DROP FUNCTION IF EXISTS pawl_find_lends(text, bigint, text[], bigint[], text[], text[], text[], boolean[], bigint[]);
