-- Whether an org's credentials of Odoo are used by injection alone (1) or also lent; whether one that a check found
-- able to write is lent too (1); and the part of the readable policy that may be read of its Odoos, as JSON (models to
-- fields), all of it when NULL.
ALTER TABLE org_settings ADD COLUMN injection_only BIGINT NOT NULL DEFAULT 0;
ALTER TABLE org_settings ADD COLUMN lend_to_writers BIGINT NOT NULL DEFAULT 0;
ALTER TABLE org_settings ADD COLUMN readable TEXT;
-- 1: the last check found that the user can do more than read.
ALTER TABLE connections ADD COLUMN may_write BIGINT NOT NULL DEFAULT 0;
