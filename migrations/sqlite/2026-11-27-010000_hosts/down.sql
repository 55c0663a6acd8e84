ALTER TABLE org_settings DROP COLUMN allowed_hosts;
