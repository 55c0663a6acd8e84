-- How the lane lends, in two ways there and back: what it decides on is found once the orgs' locks are held, and what
-- it decided is written; how many leases are open is counted between them where they may be too many. Each runs with
-- its caller's rights, so row-level security holds as for any statement. Their statements are planned once a
-- connection, whatever the lengths of the arrays: left to itself PostgreSQL plans anew at each call, for half of what a
-- lone lend costs it. What is left of that is mostly to set up each look into a table and take it down again, used or
-- not: so what few lends need has a statement of its own. Applied by `pawl init` after row-level-security.sql.

-- Enters the rows of `scope` as a writer that waits for nobody, and finds what a batch of lends asks for: of each org
-- whether somebody else holds it, then of those that are free what stands; each ask, by its number from 1; and of each
-- exclusive wish the lease that it meets.
-- VOLATILE, so that each statement sees what was committed before it began: what is looked for is looked at after
-- the locks were taken. One plain statement would see it as it was before.
-- Of an org: whether it or the whole vault is frozen, what it lends of what can be used by injection, which hosts it
-- lets be called, its last event, and what its day is counted from. Of an ask: the sealed credential, its key's state,
-- and the last fence.
-- The limits keep to a look into an index for each, whatever a plan that was made on empty tables takes for cheap; the
-- last fence names its connection alone, or a plan goes through the leases of the whole org for it.
CREATE OR REPLACE FUNCTION pawl_find_lends(
    scope text, vault bigint, orgs text[], locks bigint[],
    ask_orgs text[], owners text[], ids text[], exclusives boolean[], ats bigint[]
) RETURNS TABLE (
    org text, is_taken boolean, is_frozen boolean, injection_only bigint, lend_to_writers bigint,
    allowed_hosts text, seq bigint, hash bytea, day bigint, day_seq bigint,
    number bigint, kind text, environment text, url text, database text, username text, sealed text, key_id text,
    revision bigint, credential_expires_at bigint, state text, may_write bigint, key_state text, fence bigint,
    held_by bigint, held_id text, held_client text, held_run text, held_revision bigint, held_fence bigint,
    held_until bigint
) LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    taken text[];
BEGIN
    PERFORM set_config('pawl.scope', pawl_find_lends.scope, true), set_config('synchronous_commit', 'on', true),
        set_config('pawl.counts', 'on', true);
    IF pg_try_advisory_xact_lock_shared(pawl_find_lends.vault) THEN
        taken := ARRAY(SELECT wanted.org FROM unnest(orgs, locks) AS wanted (org, lock)
            WHERE NOT pg_try_advisory_xact_lock(wanted.lock));
    ELSE
        taken := orgs;
    END IF;
    RETURN QUERY SELECT wanted.org, wanted.org = ANY (taken),
        settings.frozen_at IS NOT NULL
            OR EXISTS (SELECT FROM public.org_settings WHERE org_id = '' AND frozen_at IS NOT NULL),
        coalesce(settings.injection_only, 0), coalesce(settings.lend_to_writers, 0), settings.allowed_hosts,
        last.seq, last.hash, audit_chains.day, audit_chains.day_seq,
        NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text,
        NULL::bigint, NULL::bigint, NULL::text, NULL::bigint, NULL::text, NULL::bigint,
        NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::bigint
    FROM unnest(orgs) AS wanted (org)
    LEFT JOIN public.audit_chains ON audit_chains.org_id = wanted.org
    LEFT JOIN public.org_settings AS settings ON settings.org_id = wanted.org
    LEFT JOIN LATERAL (
        SELECT audit_events.seq, audit_events.hash FROM public.audit_events
        WHERE audit_events.org_id = wanted.org
        ORDER BY audit_events.seq DESC LIMIT 1) AS last ON true;
    IF cardinality(taken) = cardinality(orgs) THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT wanted.org, NULL::boolean, NULL::boolean, NULL::bigint, NULL::bigint, NULL::text,
        NULL::bigint, NULL::bytea, NULL::bigint, NULL::bigint,
        wanted.number, mine.kind, mine.environment, mine.url, mine.database, mine.username, mine.sealed, mine.key_id,
        mine.revision, mine.credential_expires_at, mine.state, mine.may_write,
        (SELECT keys.state FROM public.keys WHERE keys.id = mine.key_id),
        last.fence,
        NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::bigint
    FROM unnest(ask_orgs, owners, ids) WITH ORDINALITY AS wanted (org, owner, id, number)
    CROSS JOIN LATERAL (
        SELECT * FROM public.connections
        WHERE connections.org_id = wanted.org AND connections.user_id = wanted.owner AND connections.id = wanted.id
        LIMIT 1) AS mine
    LEFT JOIN LATERAL (
        SELECT leases.fence FROM public.leases
        WHERE leases.connection_id = wanted.id
        ORDER BY leases.fence DESC LIMIT 1) AS last ON true;
    IF true = ANY (exclusives) THEN
        RETURN QUERY SELECT wanted.org, NULL::boolean, NULL::boolean, NULL::bigint, NULL::bigint, NULL::text,
            NULL::bigint, NULL::bytea, NULL::bigint, NULL::bigint,
            NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text,
            NULL::bigint, NULL::bigint, NULL::text, NULL::bigint, NULL::text, NULL::bigint,
            wanted.number, held.id, held.client_id, held.run_id, held.revision, held.fence, held.expires_at
        FROM unnest(ask_orgs, ids, exclusives, ats) WITH ORDINALITY AS wanted (org, id, is_exclusive, at, number)
        CROSS JOIN LATERAL (
            SELECT * FROM public.leases
            WHERE wanted.is_exclusive AND leases.org_id = wanted.org AND leases.connection_id = wanted.id
                AND purpose = 'sync' AND ended_at IS NULL AND leases.expires_at > wanted.at
            ORDER BY leases.fence DESC LIMIT 1) AS held;
    END IF;
END
$$;

-- How many leases are open, up to `most` of them: of each connection, or of the whole org where none is named.
CREATE OR REPLACE FUNCTION pawl_count_open(orgs text[], connections text[], ats bigint[], mosts bigint[])
RETURNS TABLE (number bigint, open bigint) LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY SELECT wanted.number, CASE WHEN wanted.connection IS NULL THEN
        (SELECT count(*) FROM (
            SELECT FROM public.leases
            WHERE leases.org_id = wanted.org AND ended_at IS NULL AND expires_at > wanted.at
            LIMIT wanted.most) AS of_org)
    ELSE
        (SELECT count(*) FROM (
            SELECT FROM public.leases
            WHERE leases.org_id = wanted.org AND leases.connection_id = wanted.connection
                AND ended_at IS NULL AND expires_at > wanted.at
            LIMIT wanted.most) AS of_connection)
    END
    FROM unnest(orgs, connections, ats, mosts) WITH ORDINALITY AS wanted (org, connection, at, most, number);
END
$$;

-- Writes leases, open, and events, each at the end of its chain. By their places in the arrays: PL/pgSQL keeps those
-- open, and one list of numbers is sooner set up than a list for each column.
CREATE OR REPLACE FUNCTION pawl_write_lends(
    ids text[], lease_orgs text[], owners text[], connections text[], clients text[], purposes text[], runs text[],
    revisions bigint[], fences bigint[], lent bigint[], expire bigint[],
    orgs text[], seqs bigint[], events text[], prev_hashes bytea[], hashes bytea[]
) RETURNS void LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    INSERT INTO public.leases (id, org_id, user_id, connection_id, client_id, purpose, run_id, revision, fence, lent_at,
                               expires_at)
    SELECT ids[n], lease_orgs[n], owners[n], connections[n], clients[n], purposes[n], runs[n], revisions[n], fences[n],
        lent[n], expire[n]
    FROM generate_series(1, cardinality(ids)) AS n;
    INSERT INTO public.audit_events (org_id, seq, event, prev_hash, hash)
    SELECT orgs[n], seqs[n], events[n], prev_hashes[n], hashes[n] FROM generate_series(1, cardinality(orgs)) AS n;
END
$$;
