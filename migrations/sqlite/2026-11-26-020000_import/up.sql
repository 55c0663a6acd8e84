-- Which rows of other products' tables were moved in, as which connection (the one that was there already, for
-- a duplicate). Kept after the connection is forgotten, so that no later import brings it back: a row is
-- known by its source's name and its id there. Of what it held nothing is kept.
CREATE TABLE imports (
    org_id        TEXT   NOT NULL,
    source        TEXT   NOT NULL,
    source_id     TEXT   NOT NULL,
    connection_id TEXT   NOT NULL,
    outcome       TEXT   NOT NULL CHECK (outcome IN ('imported', 'duplicate')),
    imported_at   BIGINT NOT NULL,
    PRIMARY KEY (org_id, source, source_id)
);
