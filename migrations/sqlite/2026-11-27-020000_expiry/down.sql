DROP INDEX connections_by_end;
ALTER TABLE connections DROP COLUMN expiry_warned;
DROP TABLE login_refusals;
