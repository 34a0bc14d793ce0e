-- The servers that take backfill jobs, each for as long as its lease lasts.
CREATE TABLE backfill_servers (
    id            TEXT PRIMARY KEY,
    lease_ends_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
