-- The revision of the credential that Odoo took when it was tried last; NULL where none was, or it was refused since.
ALTER TABLE connections ADD COLUMN taken_revision BIGINT;
