-- How far a reseal has come, whoever started it: the API or `pawl keys reseal`. A count of values, and nothing
-- of whose they are. One without an end whose `updated_at` stays behind was broken off, and does no harm.
CREATE TABLE reseals (
    id         TEXT   NOT NULL PRIMARY KEY,
    key_id     TEXT   NOT NULL REFERENCES keys (id),
    started_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ended_at   BIGINT,
    outcome    TEXT CHECK (outcome IN ('done', 'failed')),
    total      BIGINT NOT NULL,
    moved      BIGINT NOT NULL,
    shut       BIGINT NOT NULL
);
