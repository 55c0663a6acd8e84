-- Secrets that are not Odoo's: more kinds, of which url, database and username may be absent (NULL, never
-- empty). Odoo's two keep all three, and one connection for each login. SQLite changes no column's rules, so
-- the table is made anew and its rows are carried over; no other table refers to it.
CREATE TABLE connections_anew (
    id                    TEXT   NOT NULL PRIMARY KEY,
    org_id                TEXT   NOT NULL,
    user_id               TEXT   NOT NULL,
    label                 TEXT,
    environment           TEXT   NOT NULL CHECK (environment IN ('production', 'staging', 'development')),
    kind                  TEXT   NOT NULL CHECK
        (kind IN ('password', 'api_key', 'oauth_token', 'tunnel', 'subscription', 'generic')),
    url                   TEXT   CHECK (url <> ''),
    database              TEXT   CHECK (database <> ''),
    username              TEXT   CHECK (username <> ''),
    sealed                TEXT   NOT NULL,
    key_id                TEXT   NOT NULL REFERENCES keys (id),
    revision              BIGINT NOT NULL,
    credential_expires_at BIGINT,
    state                 TEXT   NOT NULL CHECK (state IN ('active', 'auth_failed')),
    created_at            BIGINT NOT NULL,
    updated_at            BIGINT NOT NULL,
    sync_interval_seconds BIGINT CHECK (sync_interval_seconds BETWEEN 60 AND 604800),
    CHECK (kind NOT IN ('password', 'api_key')
        OR (url IS NOT NULL AND database IS NOT NULL AND username IS NOT NULL)),
    CHECK (kind IN ('password', 'api_key') OR sync_interval_seconds IS NULL)
);
INSERT INTO connections_anew (id, org_id, user_id, label, environment, kind, url, database, username, sealed, key_id,
    revision, credential_expires_at, state, created_at, updated_at, sync_interval_seconds)
SELECT id, org_id, user_id, label, environment, kind, url, database, username, sealed, key_id,
    revision, credential_expires_at, state, created_at, updated_at, sync_interval_seconds
FROM connections;
DROP TABLE connections;
ALTER TABLE connections_anew RENAME TO connections;
CREATE UNIQUE INDEX connections_one_login ON connections (org_id, user_id, url, database, username)
    WHERE kind IN ('password', 'api_key');
CREATE INDEX connections_by_owner ON connections (org_id, user_id, id);
