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

CREATE OR REPLACE FUNCTION pawl_covers(org text, usr text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    -- After a transaction the setting is '', not NULL.
    SELECT EXISTS (
        SELECT FROM jsonb_to_recordset(coalesce(nullif(current_setting('pawl.scope', true), ''), '[]')::jsonb)
            AS scope (org text, "user" text)
        WHERE scope.org = pawl_covers.org AND (scope."user" IS NULL OR scope."user" = pawl_covers.usr)
    )
$$;

ALTER TABLE connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE connections FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON connections USING (pawl_covers(org_id, user_id));

ALTER TABLE leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE leases FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON leases USING (pawl_covers(org_id, user_id));

-- Its caller's to find, its connection's owner's to blank.
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON idempotency_keys USING (pawl_covers(org_id, caller_id) OR pawl_covers(org_id, user_id));

-- One chain an org: whoever acts for one of its users appends to it.
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON audit_events USING (EXISTS (
    SELECT FROM jsonb_to_recordset(coalesce(nullif(current_setting('pawl.scope', true), ''), '[]')::jsonb)
        AS scope (org text)
    WHERE scope.org = org_id
));
