-- The hosts that an org lets be called, a JSON array of names, addresses and *.suffixes; any public one when NULL.
ALTER TABLE org_settings ADD COLUMN allowed_hosts TEXT;
