-- As migrations/sqlite, in PostgreSQL's words. Ids compare by bytes, as SQLite compares them.
-- Times are UTC microseconds since 1970. Ids are prefixed ULIDs. `sealed` is a Fernet token.

-- Which master keys there are; the keys themselves are only in their source.
CREATE TABLE keys (
    id          TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    fingerprint TEXT   NOT NULL,
    source      TEXT   NOT NULL,
    state       TEXT   NOT NULL CHECK (state IN ('sealing', 'opening', 'retired')),
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX keys_one_seals ON keys (state) WHERE state = 'sealing';

-- The keys that sign tokens: seeds, sealed like every other secret.
CREATE TABLE issuer_keys (
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    sealed     TEXT   NOT NULL,
    key_id     TEXT   NOT NULL REFERENCES keys (id),
    created_at BIGINT NOT NULL
);

CREATE TABLE connections (
    id                    TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
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
    UNIQUE (org_id, user_id, url, database, username)
);

-- Kept after their connection is forgotten: that it was lent is part of what happened.
CREATE TABLE leases (
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    org_id        TEXT   NOT NULL,
    user_id       TEXT   NOT NULL,
    connection_id TEXT   NOT NULL,
    client_id     TEXT   NOT NULL,
    purpose       TEXT   NOT NULL CHECK (purpose IN ('sync', 'check', 'other')),
    run_id        TEXT,
    revision      BIGINT NOT NULL,
    fence         BIGINT NOT NULL,
    lent_at       BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    ended_at      BIGINT,
    outcome       TEXT CHECK (outcome IN ('ok', 'failed', 'auth_failed', 'forgotten')),
    records       BIGINT,
    UNIQUE (connection_id, fence)
);
CREATE INDEX leases_by_owner ON leases (org_id, user_id, id);

-- `event` is the canonical bytes that `hash` covers; org_id is '' for the vault's own chain.
CREATE TABLE audit_events (
    org_id    TEXT   NOT NULL,
    seq       BIGINT NOT NULL,
    event     TEXT   NOT NULL,
    prev_hash BYTEA  NOT NULL,
    hash      BYTEA  NOT NULL,
    PRIMARY KEY (org_id, seq)
);
