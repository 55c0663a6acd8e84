ALTER TABLE keys DROP COLUMN last_left_at;
ALTER TABLE keys DROP COLUMN canary;
