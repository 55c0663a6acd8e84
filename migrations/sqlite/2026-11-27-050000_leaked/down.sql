ALTER TABLE connections DROP COLUMN leaked;
