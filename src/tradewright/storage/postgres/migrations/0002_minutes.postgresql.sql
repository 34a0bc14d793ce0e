-- Final minutes; all higher timeframes of them are made of these.
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

-- Hours and days made of the minutes, changed in the transactions that change those.
CREATE TABLE hour_rollups (
    series_id integer NOT NULL,
    time      bigint NOT NULL,
    open      double precision NOT NULL,
    high      double precision NOT NULL,
    low       double precision NOT NULL,
    close     double precision NOT NULL,
    volume    double precision NOT NULL,
    PRIMARY KEY (series_id, time)
);

CREATE TABLE day_rollups (
    series_id integer NOT NULL,
    time      bigint NOT NULL,
    open      double precision NOT NULL,
    high      double precision NOT NULL,
    low       double precision NOT NULL,
    close     double precision NOT NULL,
    volume    double precision NOT NULL,
    PRIMARY KEY (series_id, time)
);
