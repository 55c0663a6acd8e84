-- The role that the vault keeps rows as, and what it may do: no table is its own, none can be changed by
-- it, and where a connection leads (url, database, username, kind, whose) can't be changed at all.
-- `pawl init` applies this as the role of PAWL_MIGRATE_DATABASE_URL, which owns the tables, when the text of
-- these files is not the one that was applied last. A released change of it comes with a migration, by which
-- an earlier version knows that it is one.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pawl_app') THEN
        CREATE ROLE pawl_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;
EXCEPTION
    -- Another init was faster.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

REVOKE ALL ON __diesel_schema_migrations, keys, issuer_keys, connections, leases, idempotency_keys, audit_events,
    imports, clients, revocations, client_assertions, reseals
    FROM pawl_app, PUBLIC;

-- What everybody may do elsewhere: nobody makes tables here, and who is to connect is named. Where the database
-- or the schema is another role's, PostgreSQL only warns.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO pawl_app;
DO $$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO pawl_app', current_database());
    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

GRANT SELECT ON __diesel_schema_migrations TO pawl_app;
GRANT SELECT, INSERT, UPDATE (state, canary, last_left_at) ON keys TO pawl_app;
GRANT SELECT, INSERT, UPDATE (sealed, key_id, verifies_until), DELETE ON issuer_keys TO pawl_app;
-- Who may ask for tokens, and what no longer counts: never changed, only made and dropped.
GRANT SELECT, INSERT, DELETE ON clients, revocations, client_assertions TO pawl_app;
GRANT SELECT, INSERT, DELETE,
    UPDATE (label, environment, sync_interval_seconds, sealed, key_id, revision, credential_expires_at, state,
            updated_at)
    ON connections TO pawl_app;
GRANT SELECT, INSERT, UPDATE (revision, expires_at, ended_at, outcome, records) ON leases TO pawl_app;
GRANT SELECT, INSERT, UPDATE (mark, answer), DELETE ON idempotency_keys TO pawl_app;
GRANT SELECT, INSERT, UPDATE (updated_at, ended_at, outcome, total, moved, shut) ON reseals TO pawl_app;
-- The trail only grows, and so does what is known of imports.
GRANT SELECT, INSERT ON audit_events, imports TO pawl_app;
