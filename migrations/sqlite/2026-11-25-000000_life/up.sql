ALTER TABLE connections ADD COLUMN sync_interval_seconds BIGINT
    CHECK (sync_interval_seconds BETWEEN 60 AND 604800);

-- What a caller's Idempotency-Key was used for, for 24 hours. A row is its caller's (`caller_id`) to find and
-- its connection's owner's (`user_id`) to blank. `mark` tells the request from another one: HMAC-SHA256 under
-- a key derived from the master key `key_id`, since the request may have held a password; empty once that is
-- not the connection's any more. `answer` is what a repeat is answered, without any secret; NULL when there is
-- nothing to keep, or the connection was forgotten.
CREATE TABLE idempotency_keys (
    org_id          TEXT   NOT NULL,
    caller_id       TEXT   NOT NULL,
    client_id       TEXT   NOT NULL,
    idempotency_key TEXT   NOT NULL,
    key_id          TEXT   NOT NULL,
    mark            BLOB   NOT NULL,
    user_id         TEXT   NOT NULL,
    connection_id   TEXT   NOT NULL,
    lease_id        TEXT,
    answer          TEXT,
    kept_until      BIGINT NOT NULL,
    PRIMARY KEY (org_id, caller_id, client_id, idempotency_key)
);
CREATE INDEX idempotency_keys_by_caller ON idempotency_keys (org_id, caller_id, kept_until);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (kept_until);
CREATE INDEX idempotency_keys_by_connection ON idempotency_keys (org_id, connection_id);
