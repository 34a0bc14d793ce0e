-- Stretches of history that were asked for, and who works at each: an owner's lease ends unless it is
-- renewed, and each new owner and each cancellation raises the token under which owners report.
CREATE TABLE backfill_jobs (
    id            text COLLATE "C" PRIMARY KEY,
    market        text COLLATE "C" NOT NULL,
    provider      text COLLATE "C" NOT NULL,
    symbol        text COLLATE "C" NOT NULL,
    start_ms      bigint NOT NULL,
    end_ms        bigint NOT NULL CHECK (end_ms > start_ms),
    newest_first  boolean NOT NULL,
    state         text COLLATE "C" NOT NULL
                  CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    progress      double precision NOT NULL CHECK (progress BETWEEN 0 AND 1),
    bars          bigint NOT NULL,
    missing_ms    bigint,
    error         text,
    created_ms    bigint NOT NULL,
    updated_ms    bigint NOT NULL,
    owner         text COLLATE "C" NOT NULL DEFAULT '',
    token         bigint NOT NULL DEFAULT 0,
    lease_ends_ms bigint NOT NULL DEFAULT 0
);

CREATE INDEX backfill_jobs_by_age ON backfill_jobs (created_ms, id);

CREATE INDEX backfill_jobs_open ON backfill_jobs (created_ms, id) WHERE state IN ('queued', 'running');
