-- A lend writes into as few indexes as its looks need. SQLite makes a table of its own for a list of three or more that a
-- CHECK holds a value against, at each insert: the lists are spelt out. The table is made anew, as in the migrations before.
CREATE TABLE leases_anew (
    id            TEXT   NOT NULL PRIMARY KEY,
    org_id        TEXT   NOT NULL,
    user_id       TEXT   NOT NULL,
    connection_id TEXT   NOT NULL,
    client_id     TEXT   NOT NULL,
    purpose       TEXT   NOT NULL CHECK (purpose = 'sync' OR purpose = 'check' OR purpose = 'other'),
    run_id        TEXT,
    revision      BIGINT NOT NULL,
    fence         BIGINT NOT NULL,
    lent_at       BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    ended_at      BIGINT,
    outcome       TEXT CHECK (outcome = 'ok' OR outcome = 'failed' OR outcome = 'auth_failed' OR outcome = 'forgotten'
                           OR outcome = 'frozen' OR outcome = 'unanswered'),
    records       BIGINT,
    UNIQUE (connection_id, fence)
);
INSERT INTO leases_anew (id, org_id, user_id, connection_id, client_id, purpose, run_id, revision, fence, lent_at,
    expires_at, ended_at, outcome, records)
SELECT id, org_id, user_id, connection_id, client_id, purpose, run_id, revision, fence, lent_at,
    expires_at, ended_at, outcome, records
FROM leases;
DROP TABLE leases;
ALTER TABLE leases_anew RENAME TO leases;

-- How many are out, of an org and of a connection, and which: there is a cap on those of an org.
CREATE INDEX leases_open_by_org ON leases (org_id, expires_at, connection_id) WHERE ended_at IS NULL;
-- The exclusive one of a connection.
CREATE INDEX leases_open_exclusive ON leases (org_id, connection_id, expires_at) WHERE ended_at IS NULL AND purpose = 'sync';
-- One that runs out keeps no end, so these only grow: a freeze of the vault begins at its own moment.
CREATE INDEX leases_open_by_end ON leases (expires_at) WHERE ended_at IS NULL;
