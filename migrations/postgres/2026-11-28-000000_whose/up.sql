-- The scope is told as one object now, and a batch of lends found by other columns; the policies make all of them anew.
DROP FUNCTION IF EXISTS pawl_scope() CASCADE;
DROP FUNCTION IF EXISTS pawl_find_lends(text, bigint, text[], bigint[], bigint[], bigint[], bigint[], text[], text[], text[],
    boolean[], bigint[], bigint[], bigint[]);
