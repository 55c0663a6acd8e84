DROP TABLE idempotency_keys;
ALTER TABLE connections DROP COLUMN sync_interval_seconds;
