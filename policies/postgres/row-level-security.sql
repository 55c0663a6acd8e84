-- What stands behind the scope that every query names: a transaction says whose rows it may touch
-- (`pawl.scope`, an object that has a list of users for each org), and PostgreSQL lets no other row through, of the
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

-- The scope: of each org the users whose rows they are, among whom '' stands for all of them; NULL without one, which
-- covers nothing. Its names are resolved here and now. Policies ask it in sub-selects that name no column, so that
-- PostgreSQL reads it once a statement, not once a row; and in such as have no FROM, which a statement sets up for the
-- least: for a lone lend that was much of it all. What they let through has PostgreSQL guess that it is one row in a
-- hundred, and look for it by whichever index: of a `coalesce` it guesses every second, and keeps to the narrow one.
CREATE OR REPLACE FUNCTION pawl_scope() RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- After a transaction the setting is '', not NULL; and what is no object names nobody, though it have an org in it.
    SELECT CASE WHEN left(current_setting('pawl.scope', true), 1) = '{'
        THEN current_setting('pawl.scope', true)::jsonb END;
END;

ALTER TABLE connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE connections FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON connections USING (
    coalesce((SELECT pawl_scope()) -> org_id ?| ARRAY[user_id, ''], false)
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
    (SELECT pawl_scope()) -> '' ? 'rotate'
);
CREATE POLICY dropped ON issuer_keys FOR DELETE USING (
    (SELECT pawl_scope()) -> '' ? 'rotate'
);

-- The keys that sign checkpoints: never changed, but for the key they are sealed under.
ALTER TABLE audit_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_logs FORCE ROW LEVEL SECURITY;
CREATE POLICY found ON audit_logs FOR SELECT USING (true);
CREATE POLICY made ON audit_logs FOR INSERT
    WITH CHECK ((SELECT pawl_scope()) -> '' ? '');
CREATE POLICY resealed ON audit_logs FOR UPDATE TO pawl_reseal USING (true);

-- Who may ask for tokens, and what is revoked: the vault's own (''), which everybody's token is held against.
ALTER TABLE clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE clients FORCE ROW LEVEL SECURITY;
CREATE POLICY found ON clients FOR SELECT USING (true);
CREATE POLICY made ON clients FOR INSERT WITH CHECK ((SELECT pawl_scope()) -> '' ? '');
CREATE POLICY dropped ON clients FOR DELETE USING ((SELECT pawl_scope()) -> '' ? '');
ALTER TABLE revocations ENABLE ROW LEVEL SECURITY;
ALTER TABLE revocations FORCE ROW LEVEL SECURITY;
CREATE POLICY found ON revocations FOR SELECT USING (true);
CREATE POLICY made ON revocations FOR INSERT
    WITH CHECK ((SELECT pawl_scope()) -> '' ? '');
CREATE POLICY dropped ON revocations FOR DELETE
    USING ((SELECT pawl_scope()) -> '' ? '');

-- Used assertions, in the transaction of the event in whichever chain: nobody's, and with nothing in them.
ALTER TABLE login_refusals ENABLE ROW LEVEL SECURITY;
ALTER TABLE login_refusals FORCE ROW LEVEL SECURITY;
CREATE POLICY counted ON login_refusals USING ((SELECT pawl_scope()) -> '' ? '');
ALTER TABLE client_assertions ENABLE ROW LEVEL SECURITY;
ALTER TABLE client_assertions FORCE ROW LEVEL SECURITY;
CREATE POLICY used ON client_assertions USING ((SELECT pawl_scope()) <> '{}');

ALTER TABLE leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE leases FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON leases USING (
    coalesce((SELECT pawl_scope()) -> org_id ?| ARRAY[user_id, ''], false)
);

-- A lend counts how many its org has out, of whichever user, and reads nothing else of them: its transaction says
-- so (`pawl.counts`), as no other does.
CREATE POLICY counted ON leases FOR SELECT USING (
    (SELECT current_setting('pawl.counts', true)) = 'on' AND ended_at IS NULL
    AND coalesce((SELECT pawl_scope()) ? org_id, false)
);
-- A freeze of the whole vault ends every org's.
CREATE POLICY frozen ON leases TO pawl_freeze USING (true);

-- Its caller's to find, keep and drop; its connection's owner's to blank; the vault's own ('') to drop.
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY found ON idempotency_keys FOR SELECT USING (
    coalesce((SELECT pawl_scope()) -> org_id ?| ARRAY[caller_id, user_id, ''], false)
    OR (SELECT pawl_scope()) ? ''
);
CREATE POLICY kept ON idempotency_keys FOR INSERT WITH CHECK (
    coalesce((SELECT pawl_scope()) -> org_id ? '', false)
    OR coalesce((SELECT pawl_scope()) -> org_id ?& ARRAY[caller_id, user_id], false)
);
CREATE POLICY blanked ON idempotency_keys FOR UPDATE USING (
    coalesce((SELECT pawl_scope()) -> org_id ?| ARRAY[user_id, ''], false)
);
CREATE POLICY dropped ON idempotency_keys FOR DELETE USING (
    coalesce((SELECT pawl_scope()) -> org_id ?| ARRAY[caller_id, ''], false)
    OR (SELECT pawl_scope()) ? ''
);

-- One chain an org: whoever acts for one of its users appends to it.
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON audit_events USING (coalesce((SELECT pawl_scope()) ? org_id, false));
CREATE POLICY logged ON audit_events FOR SELECT TO pawl_log USING (true);
CREATE POLICY pruned ON audit_events TO pawl_prune USING (true);
ALTER TABLE audit_chains ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_chains FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON audit_chains USING (coalesce((SELECT pawl_scope()) ? org_id, false));
CREATE POLICY logged ON audit_chains FOR SELECT TO pawl_log USING (true);
CREATE POLICY pruned ON audit_chains TO pawl_prune USING (true);

-- Which events of an org the log speaks of is the org's to know; the hashes over all of them tell of nobody.
ALTER TABLE audit_leaves ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_leaves FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON audit_leaves FOR SELECT USING (coalesce((SELECT pawl_scope()) ? org_id, false));
CREATE POLICY logged ON audit_leaves TO pawl_log USING (true);
CREATE POLICY pruned ON audit_leaves FOR SELECT TO pawl_prune USING (true);

-- A whole org's: rows of any of its users are moved in together.
ALTER TABLE imports ENABLE ROW LEVEL SECURITY;
ALTER TABLE imports FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON imports USING (coalesce((SELECT pawl_scope()) -> org_id ? '', false));

-- A whole org's to change; to be read by whoever acts for one of its users. The vault's own (''), which says that
-- the whole of it is frozen, is read by everybody who acts for anybody.
ALTER TABLE org_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE org_settings FORCE ROW LEVEL SECURITY;
CREATE POLICY found ON org_settings FOR SELECT USING (
    coalesce((SELECT pawl_scope()) ? org_id, false) OR (org_id = '' AND (SELECT pawl_scope()) <> '{}')
);
CREATE POLICY made ON org_settings FOR INSERT WITH CHECK (
    coalesce((SELECT pawl_scope()) -> org_id ? '', false)
);
CREATE POLICY changed ON org_settings FOR UPDATE USING (
    coalesce((SELECT pawl_scope()) -> org_id ? '', false)
);
CREATE POLICY pruned ON org_settings FOR SELECT TO pawl_prune USING (true);
