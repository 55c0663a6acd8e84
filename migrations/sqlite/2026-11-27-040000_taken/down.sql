ALTER TABLE connections DROP COLUMN taken_revision;
