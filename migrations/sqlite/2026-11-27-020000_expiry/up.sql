-- How often Odoo refused a login of late, over all orgs: `login` is the hex of SHA-256 over host, database and user
-- name (src/store/logins.rs). A login that is taken clears its row.
CREATE TABLE login_refusals (
    login   TEXT   NOT NULL PRIMARY KEY CHECK (length(login) = 64),
    refused BIGINT NOT NULL CHECK (refused > 0),
    last_at BIGINT NOT NULL
);

-- For how few days of its life the holder of an expiring credential was last warned (14, 7 or 1); a replace clears it.
ALTER TABLE connections ADD COLUMN expiry_warned BIGINT CHECK (expiry_warned IN (14, 7, 1));
CREATE INDEX connections_by_end ON connections (credential_expires_at) WHERE credential_expires_at IS NOT NULL;
