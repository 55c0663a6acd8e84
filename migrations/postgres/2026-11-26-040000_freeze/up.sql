-- The switch: an org whose row says since when it is frozen lends nothing; the org without a name ('') is the
-- whole vault. An org without a row has never been frozen.
CREATE TABLE org_settings (
    org_id     TEXT   NOT NULL PRIMARY KEY,
    frozen_at  BIGINT,
    updated_at BIGINT NOT NULL
);

ALTER TABLE leases
    DROP CONSTRAINT leases_outcome_check,
    ADD CONSTRAINT leases_outcome_check CHECK (outcome IN ('ok', 'failed', 'auth_failed', 'forgotten', 'frozen'));

-- How many are out, of an org and of a connection; and which a freeze ends.
CREATE INDEX leases_open_by_org ON leases (org_id, expires_at) WHERE ended_at IS NULL;
CREATE INDEX leases_open_by_connection ON leases (org_id, connection_id, expires_at) WHERE ended_at IS NULL;
-- One that runs out keeps no end, so these only grow: a freeze of the vault begins at its own moment.
CREATE INDEX leases_open_by_end ON leases (expires_at) WHERE ended_at IS NULL;
