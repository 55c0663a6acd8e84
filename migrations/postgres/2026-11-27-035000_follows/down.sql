CREATE OR REPLACE FUNCTION pawl_trail_follows() RETURNS trigger LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added
        WHERE NOT EXISTS (
                SELECT FROM public.audit_events AS before
                WHERE before.org_id = added.org_id AND before.seq = added.seq - 1)
            AND (added.seq <> 1 OR EXISTS (
                SELECT FROM public.audit_chains AS chain WHERE chain.org_id = added.org_id AND chain.pruned_seq > 0)))
    THEN
        RAISE EXCEPTION 'an event of the trail follows the last one';
    END IF;
    RETURN NULL;
END
$$;
