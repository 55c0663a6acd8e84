-- Fails while there is a secret that is not Odoo's: forget those first.
CREATE TABLE connections_anew (
    id                    TEXT   NOT NULL PRIMARY KEY,
    org_id                TEXT   NOT NULL,
    user_id               TEXT   NOT NULL,
    label                 TEXT,
    environment           TEXT   NOT NULL CHECK (environment IN ('production', 'staging', 'development')),
    kind                  TEXT   NOT NULL CHECK (kind IN ('password', 'api_key')),
    url                   TEXT   NOT NULL,
    database              TEXT   NOT NULL,
    username              TEXT   NOT NULL,
    sealed                TEXT   NOT NULL,
    key_id                TEXT   NOT NULL REFERENCES keys (id),
    revision              BIGINT NOT NULL,
    credential_expires_at BIGINT,
    state                 TEXT   NOT NULL CHECK (state IN ('active', 'auth_failed')),
    created_at            BIGINT NOT NULL,
    updated_at            BIGINT NOT NULL,
    sync_interval_seconds BIGINT CHECK (sync_interval_seconds BETWEEN 60 AND 604800),
    UNIQUE (org_id, user_id, url, database, username)
);
INSERT INTO connections_anew (id, org_id, user_id, label, environment, kind, url, database, username, sealed, key_id,
    revision, credential_expires_at, state, created_at, updated_at, sync_interval_seconds)
SELECT id, org_id, user_id, label, environment, kind, url, database, username, sealed, key_id,
    revision, credential_expires_at, state, created_at, updated_at, sync_interval_seconds
FROM connections;
DROP TABLE connections;
ALTER TABLE connections_anew RENAME TO connections;
