-- Fails while there is a secret that is not Odoo's: forget those first.
DROP INDEX connections_by_owner;
DROP INDEX connections_one_login;
ALTER TABLE connections
    DROP CONSTRAINT connections_odoo_is_synced,
    DROP CONSTRAINT connections_odoo_is_whole,
    DROP CONSTRAINT connections_username_check,
    DROP CONSTRAINT connections_database_check,
    DROP CONSTRAINT connections_url_check,
    DROP CONSTRAINT connections_kind_check,
    ALTER COLUMN url SET NOT NULL,
    ALTER COLUMN database SET NOT NULL,
    ALTER COLUMN username SET NOT NULL,
    ADD CONSTRAINT connections_kind_check CHECK (kind IN ('password', 'api_key')),
    ADD UNIQUE (org_id, user_id, url, database, username);
