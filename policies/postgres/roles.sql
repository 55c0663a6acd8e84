-- The role that the vault keeps rows as, and what it may do: no table is its own, none can be changed by
-- it, and where a connection leads (url, database, username, kind, whose) can't be changed at all. Duties that
-- cross orgs have a role each, which it becomes for the one transaction that is such a duty.
-- `pawl init` applies this as the role of PAWL_MIGRATE_DATABASE_URL, which owns the tables, when the text of
-- these files is not the one that was applied last. A released change of it comes with a migration, by which
-- an earlier version knows that it is one.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pawl_app') THEN
        CREATE ROLE pawl_app LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;
EXCEPTION
    -- Another init was faster.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

-- pawl_reseal puts sealed values under another key; pawl_freeze ends open leases; pawl_log puts the ends of all chains
-- into the log; pawl_prune lets go of events that are past their time; pawl_expiry looks for credentials that end soon.
-- Nobody logs in as them, and who is to become one has to say so (`SET ROLE`): before PostgreSQL 16 that is the member's own attribute, since then the
-- membership's.
DO $$
DECLARE
    narrow text;
BEGIN
    FOREACH narrow IN ARRAY ARRAY['pawl_reseal', 'pawl_freeze', 'pawl_log', 'pawl_prune', 'pawl_expiry'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = narrow) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION '
                    'NOBYPASSRLS', narrow);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
        IF NOT pg_has_role('pawl_app', narrow, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO pawl_app', narrow)
                || CASE WHEN current_setting('server_version_num')::int >= 160000
                   THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END;
        END IF;
    END LOOP;
    IF current_setting('server_version_num')::int < 160000
        AND EXISTS (SELECT FROM pg_roles WHERE rolname = 'pawl_app' AND rolinherit)
    THEN
        ALTER ROLE pawl_app NOINHERIT;
    END IF;
END
$$;

REVOKE ALL ON __diesel_schema_migrations, keys, issuer_keys, connections, leases, idempotency_keys, audit_events,
    imports, clients, revocations, client_assertions, reseals, org_settings, audit_chains, audit_logs, audit_leaves,
    audit_nodes, audit_checkpoints, audit_witnesses, login_refusals
    FROM pawl_app, pawl_reseal, pawl_freeze, pawl_log, pawl_prune, pawl_expiry, PUBLIC;

-- What everybody may do elsewhere: nobody makes tables here, and who is to connect is named. Where the database
-- or the schema is another role's, PostgreSQL only warns.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO pawl_app, pawl_reseal, pawl_freeze, pawl_log, pawl_prune, pawl_expiry;
DO $$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO pawl_app', current_database());
    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

GRANT SELECT ON __diesel_schema_migrations TO pawl_app;
GRANT SELECT, INSERT, UPDATE (state, canary, last_left_at) ON keys TO pawl_app;
GRANT SELECT, INSERT, UPDATE (verifies_until), DELETE ON issuer_keys TO pawl_app;
-- Who may ask for tokens, and what no longer counts: never changed, only made and dropped.
GRANT SELECT, INSERT, DELETE ON clients, revocations, client_assertions TO pawl_app;
GRANT SELECT, INSERT, DELETE,
    UPDATE (label, environment, sync_interval_seconds, sealed, key_id, revision, credential_expires_at, state,
            updated_at, expiry_warned, may_write, taken_revision, leaked)
    ON connections TO pawl_app;
GRANT SELECT, INSERT, UPDATE (revision, expires_at, ended_at, outcome, records) ON leases TO pawl_app;
-- Logins that Odoo refused, over all orgs, by a digest.
GRANT SELECT, INSERT, UPDATE (refused, last_at), DELETE ON login_refusals TO pawl_app;
GRANT SELECT, INSERT, UPDATE (mark, answer), DELETE ON idempotency_keys TO pawl_app;
GRANT SELECT, INSERT, UPDATE (updated_at, ended_at, outcome, total, moved, shut) ON reseals TO pawl_app;
GRANT SELECT, INSERT,
    UPDATE (frozen_at, updated_at, retention_days, next_retention_days, next_retention_from, allowed_hosts, injection_only,
            lend_to_writers, readable)
    ON org_settings TO pawl_app;
-- The trail only grows, and so does what is known of imports.
GRANT SELECT, INSERT ON audit_events, imports TO pawl_app;
GRANT SELECT, INSERT (org_id, salt, day, day_seq), UPDATE (day, day_seq) ON audit_chains TO pawl_app;
-- What stands over the chains is read by all; a log is begun, and never changed.
GRANT SELECT ON audit_leaves, audit_nodes, audit_checkpoints TO pawl_app;
GRANT SELECT, INSERT ON audit_logs TO pawl_app;
GRANT SELECT, INSERT, UPDATE (size, taken_at) ON audit_witnesses TO pawl_app;

-- What sealing binds, and no more of a connection than a loan is judged by; that a value left its key.
GRANT SELECT (id, org_id, user_id, environment, kind, url, database, username, sealed, key_id, revision, credential_expires_at, state, may_write),
    UPDATE (sealed, key_id)
    ON connections TO pawl_reseal;
GRANT SELECT, UPDATE (sealed, key_id) ON issuer_keys, audit_logs TO pawl_reseal;
GRANT SELECT, UPDATE (last_left_at) ON keys TO pawl_reseal;
-- Which are out, and that they are no more. Not whose, not of what.
GRANT SELECT (expires_at, ended_at), UPDATE (ended_at, outcome) ON leases TO pawl_freeze;
-- How far every chain has come, and what hides whose it is; no event. The log only grows.
GRANT SELECT (org_id, seq, hash) ON audit_events TO pawl_log;
GRANT SELECT (org_id, salt) ON audit_chains TO pawl_log;
GRANT SELECT, INSERT ON audit_leaves, audit_nodes, audit_checkpoints TO pawl_log;
-- Which events are past their time, by when they were logged, and how long each org keeps them; no event. The table
-- itself lets go of none past the boundary.
GRANT SELECT (org_id, seq, hash), DELETE ON audit_events TO pawl_prune;
GRANT SELECT (org_id, pruned_seq, pruned_hash), UPDATE (pruned_seq, pruned_hash) ON audit_chains TO pawl_prune;
GRANT SELECT ON audit_leaves, audit_checkpoints TO pawl_prune;
GRANT SELECT (org_id, retention_days, next_retention_days, next_retention_from) ON org_settings TO pawl_prune;
-- When credentials end, whose, and whether that was told; nothing of what they open, and it changes nothing.
GRANT SELECT (id, org_id, revision, credential_expires_at, expiry_warned) ON connections TO pawl_expiry;
