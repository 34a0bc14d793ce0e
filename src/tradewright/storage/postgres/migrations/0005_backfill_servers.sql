-- The servers that take backfill jobs, each for as long as its lease lasts.
CREATE TABLE backfill_servers (
    id            text COLLATE "C" PRIMARY KEY,
    lease_ends_ms bigint NOT NULL
);
