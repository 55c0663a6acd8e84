ALTER TABLE connections DROP COLUMN may_write;
ALTER TABLE org_settings DROP COLUMN readable;
ALTER TABLE org_settings DROP COLUMN lend_to_writers;
ALTER TABLE org_settings DROP COLUMN injection_only;
