-- What stands behind the scope that every query names: a transaction says whose rows it may touch
-- (`pawl.scope`, a list of {"org", "user" or null}), and PostgreSQL lets no other row through, of the
-- owner's own either. With no scope set there are no rows. It guards against our mistakes; it is no wall
-- against somebody who speaks SQL as the vault. Applied by `pawl init` after roles.sql.

-- Not one more than these.
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT polname, polrelid::regclass AS name FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
        WHERE relnamespace = 'public'::regnamespace
            AND relowner = (SELECT relowner FROM pg_class WHERE oid = '__diesel_schema_migrations'::regclass)
    LOOP
        EXECUTE format('DROP POLICY %I ON %s', old.polname, old.name);
    END LOOP;
END
$$;

-- The scope, as rows; `usr` is NULL where it is a whole org's. Its names are resolved here and now. Policies
-- ask it in sub-selects that name no column, so that PostgreSQL reads it once a statement, not once a row.
CREATE OR REPLACE FUNCTION pawl_scope() RETURNS TABLE (org text, usr text)
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- After a transaction the setting is '', not NULL.
    SELECT scope.org, scope."user"
    FROM jsonb_to_recordset(coalesce(nullif(current_setting('pawl.scope', true), ''), '[]')::jsonb)
        AS scope (org text, "user" text);
END;

ALTER TABLE connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE connections FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON connections USING (
    org_id IN (SELECT org FROM pawl_scope() WHERE usr IS NULL)
    OR (org_id, user_id) IN (SELECT org, usr FROM pawl_scope())
);

-- `pawl keys reseal` and `retire` look at every org's sealed values, and put the same value under another key
-- in its place, as a role that can do nothing else.
CREATE POLICY resealed ON connections TO pawl_reseal USING (true);
CREATE POLICY ending ON connections FOR SELECT TO pawl_expiry USING (true);

-- The seeds that sign tokens: written over only by the same, under another key.
ALTER TABLE issuer_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE issuer_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY found ON issuer_keys FOR SELECT USING (true);
CREATE POLICY made ON issuer_keys FOR INSERT WITH CHECK (true);
CREATE POLICY resealed ON issuer_keys FOR UPDATE TO pawl_reseal USING (true);
-- Ended and dropped by a rotation of them alone.
CREATE POLICY ended ON issuer_keys FOR UPDATE USING (
    EXISTS (SELECT FROM pawl_scope() WHERE org = '' AND usr = 'rotate')
);
CREATE POLICY dropped ON issuer_keys FOR DELETE USING (
    EXISTS (SELECT FROM pawl_scope() WHERE org = '' AND usr = 'rotate')
);

-- The keys that sign checkpoints: never changed, but for the key they are sealed under.
ALTER TABLE audit_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_logs FORCE ROW LEVEL SECURITY;
CREATE POLICY found ON audit_logs FOR SELECT USING (true);
CREATE POLICY made ON audit_logs FOR INSERT
    WITH CHECK (EXISTS (SELECT FROM pawl_scope() WHERE org = '' AND usr IS NULL));
CREATE POLICY resealed ON audit_logs FOR UPDATE TO pawl_reseal USING (true);

-- Who may ask for tokens, and what is revoked: the vault's own (''), which everybody's token is held against.
ALTER TABLE clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE clients FORCE ROW LEVEL SECURITY;
CREATE POLICY found ON clients FOR SELECT USING (true);
CREATE POLICY made ON clients FOR INSERT WITH CHECK (EXISTS (SELECT FROM pawl_scope() WHERE org = '' AND usr IS NULL));
CREATE POLICY dropped ON clients FOR DELETE USING (EXISTS (SELECT FROM pawl_scope() WHERE org = '' AND usr IS NULL));
ALTER TABLE revocations ENABLE ROW LEVEL SECURITY;
ALTER TABLE revocations FORCE ROW LEVEL SECURITY;
CREATE POLICY found ON revocations FOR SELECT USING (true);
CREATE POLICY made ON revocations FOR INSERT
    WITH CHECK (EXISTS (SELECT FROM pawl_scope() WHERE org = '' AND usr IS NULL));
CREATE POLICY dropped ON revocations FOR DELETE
    USING (EXISTS (SELECT FROM pawl_scope() WHERE org = '' AND usr IS NULL));

-- Used assertions, in the transaction of the event in whichever chain: nobody's, and with nothing in them.
ALTER TABLE login_refusals ENABLE ROW LEVEL SECURITY;
ALTER TABLE login_refusals FORCE ROW LEVEL SECURITY;
CREATE POLICY counted ON login_refusals USING (EXISTS (SELECT FROM pawl_scope() WHERE org = '' AND usr IS NULL));
ALTER TABLE client_assertions ENABLE ROW LEVEL SECURITY;
ALTER TABLE client_assertions FORCE ROW LEVEL SECURITY;
CREATE POLICY used ON client_assertions USING (EXISTS (SELECT FROM pawl_scope()));

ALTER TABLE leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE leases FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON leases USING (
    org_id IN (SELECT org FROM pawl_scope() WHERE usr IS NULL)
    OR (org_id, user_id) IN (SELECT org, usr FROM pawl_scope())
);

-- A lend counts how many its org has out, of whichever user, and reads nothing else of them: its transaction says
-- so (`pawl.counts`), as no other does.
CREATE POLICY counted ON leases FOR SELECT USING (
    (SELECT current_setting('pawl.counts', true)) = 'on' AND ended_at IS NULL
    AND org_id IN (SELECT org FROM pawl_scope())
);
-- A freeze of the whole vault ends every org's.
CREATE POLICY frozen ON leases TO pawl_freeze USING (true);

-- Its caller's to find, keep and drop; its connection's owner's to blank; the vault's own ('') to drop.
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY found ON idempotency_keys FOR SELECT USING (
    org_id IN (SELECT org FROM pawl_scope() WHERE usr IS NULL)
    OR (org_id, caller_id) IN (SELECT org, usr FROM pawl_scope())
    OR (org_id, user_id) IN (SELECT org, usr FROM pawl_scope())
    OR EXISTS (SELECT FROM pawl_scope() WHERE org = '')
);
CREATE POLICY kept ON idempotency_keys FOR INSERT WITH CHECK (
    org_id IN (SELECT org FROM pawl_scope() WHERE usr IS NULL)
    OR ((org_id, caller_id) IN (SELECT org, usr FROM pawl_scope())
        AND (org_id, user_id) IN (SELECT org, usr FROM pawl_scope()))
);
CREATE POLICY blanked ON idempotency_keys FOR UPDATE USING (
    org_id IN (SELECT org FROM pawl_scope() WHERE usr IS NULL)
    OR (org_id, user_id) IN (SELECT org, usr FROM pawl_scope())
);
CREATE POLICY dropped ON idempotency_keys FOR DELETE USING (
    org_id IN (SELECT org FROM pawl_scope() WHERE usr IS NULL)
    OR (org_id, caller_id) IN (SELECT org, usr FROM pawl_scope())
    OR EXISTS (SELECT FROM pawl_scope() WHERE org = '')
);

-- One chain an org: whoever acts for one of its users appends to it.
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON audit_events USING (org_id IN (SELECT org FROM pawl_scope()));
CREATE POLICY logged ON audit_events FOR SELECT TO pawl_log USING (true);
CREATE POLICY pruned ON audit_events TO pawl_prune USING (true);
ALTER TABLE audit_chains ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_chains FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON audit_chains USING (org_id IN (SELECT org FROM pawl_scope()));
CREATE POLICY logged ON audit_chains FOR SELECT TO pawl_log USING (true);
CREATE POLICY pruned ON audit_chains TO pawl_prune USING (true);

-- Which events of an org the log speaks of is the org's to know; the hashes over all of them tell of nobody.
ALTER TABLE audit_leaves ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_leaves FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON audit_leaves FOR SELECT USING (org_id IN (SELECT org FROM pawl_scope()));
CREATE POLICY logged ON audit_leaves TO pawl_log USING (true);
CREATE POLICY pruned ON audit_leaves FOR SELECT TO pawl_prune USING (true);

-- A whole org's: rows of any of its users are moved in together.
ALTER TABLE imports ENABLE ROW LEVEL SECURITY;
ALTER TABLE imports FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON imports USING (org_id IN (SELECT org FROM pawl_scope() WHERE usr IS NULL));

-- A whole org's to change; to be read by whoever acts for one of its users. The vault's own (''), which says that
-- the whole of it is frozen, is read by everybody who acts for anybody.
ALTER TABLE org_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE org_settings FORCE ROW LEVEL SECURITY;
CREATE POLICY found ON org_settings FOR SELECT USING (
    org_id IN (SELECT org FROM pawl_scope()) OR (org_id = '' AND EXISTS (SELECT FROM pawl_scope()))
);
CREATE POLICY made ON org_settings FOR INSERT WITH CHECK (
    org_id IN (SELECT org FROM pawl_scope() WHERE usr IS NULL)
);
CREATE POLICY changed ON org_settings FOR UPDATE USING (
    org_id IN (SELECT org FROM pawl_scope() WHERE usr IS NULL)
);
CREATE POLICY pruned ON org_settings FOR SELECT TO pawl_prune USING (true);
