-- The event before is looked for by what is worked out already: behind row-level security PostgreSQL works out nothing
-- inside a look into an index, and would go through the org's whole trail instead.
CREATE OR REPLACE FUNCTION pawl_trail_follows() RETURNS trigger LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    IF EXISTS (
        WITH next AS MATERIALIZED (SELECT org_id, seq, seq - 1 AS last FROM added)
        SELECT FROM next
        WHERE NOT EXISTS (
                SELECT FROM public.audit_events AS before
                WHERE before.org_id = next.org_id AND before.seq = next.last)
            AND (next.seq <> 1 OR EXISTS (
                SELECT FROM public.audit_chains AS chain WHERE chain.org_id = next.org_id AND chain.pruned_seq > 0)))
    THEN
        RAISE EXCEPTION 'an event of the trail follows the last one';
    END IF;
    RETURN NULL;
END
$$;
