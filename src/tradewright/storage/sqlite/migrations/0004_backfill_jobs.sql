-- Stretches of history that were asked for, and who works at each: an owner's lease ends unless it is
-- renewed, and each new owner and each cancellation raises the token under which owners report.
CREATE TABLE backfill_jobs (
    id            TEXT PRIMARY KEY,
    market        TEXT NOT NULL,
    provider      TEXT NOT NULL,
    symbol        TEXT NOT NULL,
    start         INTEGER NOT NULL,
    "end"         INTEGER NOT NULL CHECK ("end" > start),
    newest_first  INTEGER NOT NULL CHECK (newest_first IN (0, 1)),
    state         TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    progress      REAL NOT NULL CHECK (progress BETWEEN 0 AND 1),
    bars          INTEGER NOT NULL,
    missing_ms    INTEGER,
    error         TEXT,
    created_ms    INTEGER NOT NULL,
    updated_ms    INTEGER NOT NULL,
    owner         TEXT NOT NULL DEFAULT '',
    token         INTEGER NOT NULL DEFAULT 0,
    lease_ends_ms INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX backfill_jobs_by_age ON backfill_jobs (created_ms, id);
CREATE INDEX backfill_jobs_open ON backfill_jobs (created_ms, id) WHERE state IN ('queued', 'running');
