-- Final minutes; all higher timeframes of them are made of these. A chunk holds thirty days.
CREATE TABLE minutes (
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

CREATE FUNCTION epoch_ms() RETURNS bigint LANGUAGE sql STABLE
AS $$ SELECT (extract(epoch FROM now()) * 1000)::bigint $$;

SELECT create_hypertable(
    'minutes', 'time', chunk_time_interval => 2592000000, create_default_indexes => false
);

SELECT set_integer_now_func('minutes', 'epoch_ms');

ALTER TABLE minutes SET (
    timescaledb.compress, timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'time'
);

-- Hours of the minutes, and days of the hours. Real-time, so that a reader who comes past us sees what
-- was not refreshed yet at the newest end; what is stale elsewhere is in stale_days.
CREATE MATERIALIZED VIEW hour_rollups
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    series_id, time_bucket(3600000::bigint, time) AS time, first(open, time) AS open, max(high) AS high,
    min(low) AS low, last(close, time) AS close, sum(volume) AS volume
FROM minutes
GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW day_rollups
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    series_id, time_bucket(86400000::bigint, time) AS time, first(open, time) AS open, max(high) AS high,
    min(low) AS low, last(close, time) AS close, sum(volume) AS volume
FROM hour_rollups
GROUP BY 1, 2
WITH NO DATA;

-- The days of a series whose minutes changed and whose rollups were not refreshed since. The mark tells one
-- change from the next, so that a refresh takes away what it saw and nothing else.
CREATE SEQUENCE stale_marks;

CREATE TABLE stale_days (
    series_id integer NOT NULL REFERENCES series (id),
    day_ms    bigint NOT NULL,
    mark      bigint NOT NULL DEFAULT nextval('stale_marks'),
    PRIMARY KEY (series_id, day_ms)
);

CREATE INDEX stale_days_by_day ON stale_days (day_ms);

-- What was written past us is refreshed by the server's own jobs, a fortnight back. They begin in an hour,
-- when the first load is over.
SELECT add_continuous_aggregate_policy(
    'hour_rollups', start_offset => 1209600000::bigint, end_offset => 3600000::bigint,
    schedule_interval => interval '1 hour', initial_start => now() + interval '1 hour'
);

SELECT add_continuous_aggregate_policy(
    'day_rollups', start_offset => 1209600000::bigint, end_offset => 86400000::bigint,
    schedule_interval => interval '6 hours', initial_start => now() + interval '1 hour'
);

SELECT add_compression_policy(
    'minutes', compress_after => 7776000000::bigint, initial_start => now() + interval '1 hour'
);
