-- Names compare by their bytes, as everywhere else in the program.
CREATE TABLE series (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    market    text COLLATE "C" NOT NULL,
    provider  text COLLATE "C" NOT NULL,
    symbol    text COLLATE "C" NOT NULL,
    timeframe text COLLATE "C" NOT NULL,
    revision  bigint NOT NULL DEFAULT 0,
    UNIQUE (market, provider, symbol, timeframe)
);

-- Final bars of all timeframes but the minute. A series is never removed and its row is locked by whoever
-- writes its bars, so no foreign key is checked for each of them.
-- NaN is greater than infinity here, so it is refused wherever something has to be smaller than that.
CREATE TABLE bars (
    series_id integer NOT NULL,
    time      bigint NOT NULL,
    open      double precision NOT NULL,
    high      double precision NOT NULL,
    low       double precision NOT NULL,
    close     double precision NOT NULL,
    volume    double precision NOT NULL,
    PRIMARY KEY (series_id, time),
    CHECK (
        low > 0 AND low <= open AND low <= close AND open <= high AND close <= high AND high < 'Infinity'
        AND volume >= 0 AND volume < 'Infinity'
    )
);

-- Disjoint intervals [start_ms, end_ms); two of one kind never touch.
CREATE TABLE coverage (
    series_id integer NOT NULL REFERENCES series (id),
    start_ms  bigint NOT NULL,
    end_ms    bigint NOT NULL CHECK (end_ms > start_ms),
    kind      text COLLATE "C" NOT NULL CHECK (kind IN ('complete', 'outage')),
    PRIMARY KEY (series_id, start_ms)
);

-- When a venue had nothing to say of intervals of which nothing is known; disjoint.
CREATE TABLE empty_answers (
    series_id   integer NOT NULL REFERENCES series (id),
    start_ms    bigint NOT NULL,
    end_ms      bigint NOT NULL CHECK (end_ms > start_ms),
    answered_ms bigint NOT NULL,
    PRIMARY KEY (series_id, start_ms)
);

-- The one row that a check writes.
CREATE TABLE pulse (
    one   boolean PRIMARY KEY CHECK (one),
    beats bigint NOT NULL
);

INSERT INTO pulse VALUES (true, 0);
