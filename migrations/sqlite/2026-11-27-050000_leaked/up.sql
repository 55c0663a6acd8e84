-- 1: an answer of its Odoo held the credential that is there: nothing is read with it until it is replaced.
ALTER TABLE connections ADD COLUMN leaked BIGINT NOT NULL DEFAULT 0;
