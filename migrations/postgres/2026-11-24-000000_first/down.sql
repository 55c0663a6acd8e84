DROP TABLE audit_events;
DROP TABLE leases;
DROP TABLE connections;
DROP TABLE issuer_keys;
DROP TABLE keys;
