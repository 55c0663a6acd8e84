-- Secrets that are not Odoo's: more kinds, of which url, database and username may be absent (NULL, never
-- empty). Odoo's two keep all three, and one connection for each login.
ALTER TABLE connections
    DROP CONSTRAINT connections_kind_check,
    DROP CONSTRAINT connections_org_id_user_id_url_database_username_key,
    ALTER COLUMN url DROP NOT NULL,
    ALTER COLUMN database DROP NOT NULL,
    ALTER COLUMN username DROP NOT NULL,
    ADD CONSTRAINT connections_kind_check CHECK
        (kind IN ('password', 'api_key', 'oauth_token', 'tunnel', 'subscription', 'generic')),
    ADD CONSTRAINT connections_url_check CHECK (url <> ''),
    ADD CONSTRAINT connections_database_check CHECK (database <> ''),
    ADD CONSTRAINT connections_username_check CHECK (username <> ''),
    ADD CONSTRAINT connections_odoo_is_whole CHECK (kind NOT IN ('password', 'api_key')
        OR (url IS NOT NULL AND database IS NOT NULL AND username IS NOT NULL)),
    ADD CONSTRAINT connections_odoo_is_synced CHECK
        (kind IN ('password', 'api_key') OR sync_interval_seconds IS NULL);
CREATE UNIQUE INDEX connections_one_login ON connections (org_id, user_id, url, database, username)
    WHERE kind IN ('password', 'api_key');
CREATE INDEX connections_by_owner ON connections (org_id, user_id, id);
