-- Marks the file as ours ("twbr").
PRAGMA application_id = 1953981042;

CREATE TABLE series (
    id        INTEGER PRIMARY KEY,
    market    TEXT NOT NULL,
    provider  TEXT NOT NULL,
    symbol    TEXT NOT NULL,
    timeframe TEXT NOT NULL,
    UNIQUE (market, provider, symbol, timeframe)
) STRICT;

-- One row per final bar, clustered by series and time, so that a range is one run of pages.
-- The comparisons refuse NaN (it arrives as NULL) and infinities (9e999 is read as one).
CREATE TABLE bars (
    series_id INTEGER NOT NULL REFERENCES series (id),
    time      INTEGER NOT NULL,
    open      REAL NOT NULL,
    high      REAL NOT NULL,
    low       REAL NOT NULL,
    close     REAL NOT NULL,
    volume    REAL NOT NULL,
    PRIMARY KEY (series_id, time),
    CHECK (
        low > 0 AND low <= open AND low <= close AND open <= high AND close <= high AND high < 9e999
        AND volume >= 0 AND volume < 9e999
    )
) STRICT, WITHOUT ROWID;

-- Disjoint intervals [start, end); two of one kind never touch.
CREATE TABLE coverage (
    series_id INTEGER NOT NULL REFERENCES series (id),
    start     INTEGER NOT NULL,
    "end"     INTEGER NOT NULL CHECK ("end" > start),
    kind      TEXT NOT NULL CHECK (kind IN ('complete', 'outage')),
    PRIMARY KEY (series_id, start)
) STRICT, WITHOUT ROWID;
