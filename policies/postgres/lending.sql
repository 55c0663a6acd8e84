-- How the lane lends, in two ways there and back: what it decides on is found once the orgs' locks are held, and what
-- it decided is written. Each runs with its caller's rights, so row-level security holds as for any statement. Their
-- statements are planned once a connection, whatever the lengths of the arrays: left to itself PostgreSQL plans anew at
-- each call, for half of what a lone lend costs it. Applied by `pawl init` after row-level-security.sql.

-- Enters the rows of `scope` as a writer that waits for nobody, and finds what a batch of lends asks for: of each org
-- whether somebody else holds it, then of those that are free what stands; and each ask, by its number from 1.
-- VOLATILE, so that each statement sees what was committed before it began: what is looked for is looked at after
-- the locks were taken. One plain statement would see it as it was before.
-- Of an org: whether it or the whole vault is frozen, what it lends of what can be used by injection, which hosts it lets be called, how many of its leases are open if the number of its last event
-- is past `enough`, that event, and what its day is counted from. Of an ask: the sealed credential, its key's state,
-- the last fence, how many leases are open if that is past `enough`, and of an exclusive wish the lease that it meets.
-- The limits keep to a look into an index for each, whatever a plan that was made on empty tables takes for cheap; the
-- last fence names its connection alone, or a plan goes through the leases of the whole org for it.
CREATE OR REPLACE FUNCTION pawl_find_lends(
    scope text, vault bigint,
    orgs text[], locks bigint[], orgs_at bigint[], orgs_enough bigint[], orgs_most bigint[],
    ask_orgs text[], owners text[], ids text[], exclusives boolean[], ats bigint[], enoughs bigint[], mosts bigint[]
) RETURNS TABLE (
    org text, is_taken boolean, is_frozen boolean, injection_only bigint, lend_to_writers bigint,
    allowed_hosts text, org_open bigint,
    seq bigint, hash bytea, day bigint, day_seq bigint,
    number bigint, kind text, environment text, url text, database text, username text, sealed text, key_id text,
    revision bigint, credential_expires_at bigint, state text, may_write bigint, key_state text, fence bigint, open bigint,
    held_id text, held_client text, held_run text, held_revision bigint, held_fence bigint, held_until bigint
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
        EXISTS (SELECT FROM public.org_settings WHERE org_id IN (wanted.org, '') AND frozen_at IS NOT NULL),
        coalesce(settings.injection_only, 0), coalesce(settings.lend_to_writers, 0), settings.allowed_hosts,
        CASE WHEN last.seq > wanted.enough THEN (SELECT count(*) FROM (
            SELECT FROM public.leases
            WHERE leases.org_id = wanted.org AND ended_at IS NULL AND expires_at > wanted.at
            LIMIT wanted.most) AS open) END,
        last.seq, last.hash, audit_chains.day, audit_chains.day_seq,
        NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text,
        NULL::bigint, NULL::bigint, NULL::text, NULL::bigint, NULL::text, NULL::bigint, NULL::bigint,
        NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::bigint
    FROM unnest(orgs, orgs_at, orgs_enough, orgs_most) AS wanted (org, at, enough, most)
    LEFT JOIN public.audit_chains ON audit_chains.org_id = wanted.org
    LEFT JOIN public.org_settings AS settings ON settings.org_id = wanted.org
    LEFT JOIN LATERAL (
        SELECT audit_events.seq, audit_events.hash FROM public.audit_events
        WHERE audit_events.org_id = wanted.org
        ORDER BY audit_events.seq DESC LIMIT 1) AS last ON true;
    IF cardinality(taken) = cardinality(orgs) THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT wanted.org, NULL::boolean, NULL::boolean, NULL::bigint, NULL::bigint, NULL::text, NULL::bigint, NULL::bigint,
        NULL::bytea, NULL::bigint, NULL::bigint,
        wanted.number, mine.kind, mine.environment, mine.url, mine.database, mine.username, mine.sealed, mine.key_id,
        mine.revision, mine.credential_expires_at, mine.state, mine.may_write,
        (SELECT keys.state FROM public.keys WHERE keys.id = mine.key_id),
        last.fence,
        CASE WHEN last.fence > wanted.enough THEN (SELECT count(*) FROM (
            SELECT FROM public.leases
            WHERE leases.org_id = wanted.org AND leases.connection_id = wanted.id
                AND ended_at IS NULL AND expires_at > wanted.at
            LIMIT wanted.most) AS open) END,
        held.id, held.client_id, held.run_id, held.revision, held.fence, held.expires_at
    FROM unnest(ask_orgs, owners, ids, exclusives, ats, enoughs, mosts) WITH ORDINALITY
        AS wanted (org, owner, id, exclusive, at, enough, most, number)
    CROSS JOIN LATERAL (
        SELECT * FROM public.connections
        WHERE connections.org_id = wanted.org AND connections.user_id = wanted.owner AND connections.id = wanted.id
        LIMIT 1) AS mine
    LEFT JOIN LATERAL (
        SELECT leases.fence FROM public.leases
        WHERE leases.connection_id = wanted.id
        ORDER BY leases.fence DESC LIMIT 1) AS last ON true
    LEFT JOIN LATERAL (
        SELECT * FROM public.leases
        WHERE wanted.exclusive AND leases.org_id = wanted.org AND leases.connection_id = wanted.id
            AND purpose = 'sync' AND ended_at IS NULL AND leases.expires_at > wanted.at
        ORDER BY leases.fence DESC LIMIT 1) AS held ON true;
END
$$;

-- Writes leases, open, and events, each at the end of its chain.
CREATE OR REPLACE FUNCTION pawl_write_lends(
    ids text[], lease_orgs text[], owners text[], connections text[], clients text[], purposes text[], runs text[],
    revisions bigint[], fences bigint[], lent bigint[], expire bigint[],
    orgs text[], seqs bigint[], events text[], prev_hashes bytea[], hashes bytea[]
) RETURNS void LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    INSERT INTO public.leases (id, org_id, user_id, connection_id, client_id, purpose, run_id, revision, fence, lent_at,
                               expires_at)
    SELECT * FROM unnest(ids, lease_orgs, owners, connections, clients, purposes, runs, revisions, fences, lent, expire);
    INSERT INTO public.audit_events (org_id, seq, event, prev_hash, hash)
    SELECT * FROM unnest(orgs, seqs, events, prev_hashes, hashes);
END
$$;
