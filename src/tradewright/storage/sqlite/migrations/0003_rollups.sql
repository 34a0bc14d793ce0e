-- Rises when something that was known of the series turns out otherwise.
ALTER TABLE series ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- Hours and days made of the stored minutes, changed in the transactions that change those; series_id is
-- the series of the minutes.
CREATE TABLE hour_rollups (
    series_id INTEGER NOT NULL REFERENCES series (id),
    time      INTEGER NOT NULL,
    open      REAL NOT NULL,
    high      REAL NOT NULL,
    low       REAL NOT NULL,
    close     REAL NOT NULL,
    volume    REAL NOT NULL,
    PRIMARY KEY (series_id, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE day_rollups (
    series_id INTEGER NOT NULL REFERENCES series (id),
    time      INTEGER NOT NULL,
    open      REAL NOT NULL,
    high      REAL NOT NULL,
    low       REAL NOT NULL,
    close     REAL NOT NULL,
    volume    REAL NOT NULL,
    PRIMARY KEY (series_id, time)
) STRICT, WITHOUT ROWID;

-- What is stored already. A remainder has the sign of the time, so before 1970 it is brought above zero.
INSERT INTO hour_rollups (series_id, time, open, high, low, close, volume)
SELECT
    series_id, hour,
    (SELECT open FROM bars WHERE series_id = hours.series_id AND time = first),
    high, low,
    (SELECT close FROM bars WHERE series_id = hours.series_id AND time = last),
    volume
FROM (
    SELECT
        series_id, time - (time % 3600000 + 3600000) % 3600000 AS hour, min(time) AS first, max(time) AS last,
        max(high) AS high, min(low) AS low, sum(volume) AS volume
    FROM series JOIN bars ON series_id = id
    WHERE timeframe = '1m'
    GROUP BY series_id, hour
) AS hours;

INSERT INTO day_rollups (series_id, time, open, high, low, close, volume)
SELECT
    series_id, day,
    (SELECT open FROM hour_rollups WHERE series_id = days.series_id AND time = first),
    high, low,
    (SELECT close FROM hour_rollups WHERE series_id = days.series_id AND time = last),
    volume
FROM (
    SELECT
        series_id, time - (time % 86400000 + 86400000) % 86400000 AS day, min(time) AS first,
        max(time) AS last, max(high) AS high, min(low) AS low, sum(volume) AS volume
    FROM hour_rollups
    GROUP BY series_id, day
) AS days;

-- When a venue had nothing to say of intervals [start, end) of which nothing is known; disjoint.
CREATE TABLE empty_answers (
    series_id   INTEGER NOT NULL REFERENCES series (id),
    start       INTEGER NOT NULL,
    "end"       INTEGER NOT NULL CHECK ("end" > start),
    answered_ms INTEGER NOT NULL,
    PRIMARY KEY (series_id, start)
) STRICT, WITHOUT ROWID;

-- The splits of an instrument as a venue told them at read_ms; detail is a JSON array.
CREATE TABLE splits (
    market   TEXT NOT NULL,
    provider TEXT NOT NULL,
    symbol   TEXT NOT NULL,
    read_ms  INTEGER NOT NULL,
    detail   TEXT NOT NULL,
    PRIMARY KEY (market, provider, symbol)
) STRICT, WITHOUT ROWID;
