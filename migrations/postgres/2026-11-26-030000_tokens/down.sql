DROP TABLE client_assertions;
DROP TABLE revocations;
DROP TABLE clients;
ALTER TABLE issuer_keys DROP COLUMN verifies_until;
ALTER TABLE issuer_keys DROP COLUMN signs_from;
