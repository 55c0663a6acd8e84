-- When a key that signs tokens begins to, and until when what it signed is taken; NULL while no other follows it.
ALTER TABLE issuer_keys ADD COLUMN signs_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE issuer_keys ADD COLUMN verifies_until BIGINT;

-- The services that may ask for tokens, by a key whose other half never left them. `roles` and `orgs` are JSON
-- arrays; no orgs at all (NULL): any org. An operator acts for no org: [].
CREATE TABLE clients (
    id         TEXT   NOT NULL PRIMARY KEY,
    public_key TEXT   NOT NULL,
    roles      TEXT   NOT NULL,
    orgs       TEXT,
    user_id    TEXT,
    created_at BIGINT NOT NULL
);

-- What was signed and is not taken any more: one token, or all of a client's that were issued before a time.
-- A row dies when nothing that it could hit can live.
CREATE TABLE revocations (
    id            TEXT   NOT NULL PRIMARY KEY,
    jti           TEXT,
    client_id     TEXT,
    issued_before BIGINT,
    dies_at       BIGINT NOT NULL,
    CHECK ((jti IS NULL) <> (client_id IS NULL) AND (client_id IS NULL) = (issued_before IS NULL))
);

-- Assertions that were exchanged for a token: each is, once.
CREATE TABLE client_assertions (
    client_id  TEXT   NOT NULL,
    jti        TEXT   NOT NULL,
    kept_until BIGINT NOT NULL,
    PRIMARY KEY (client_id, jti)
);
CREATE INDEX client_assertions_by_end ON client_assertions (client_id, kept_until);
