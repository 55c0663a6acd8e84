-- `canary` is a Fernet token sealed under the key itself: it opens at every start, or there is none.
-- `last_left_at` is when the last value left the key since it stopped to seal.
ALTER TABLE keys ADD COLUMN canary TEXT;
ALTER TABLE keys ADD COLUMN last_left_at BIGINT;
