-- What venues list and imports brought; detail is the instrument as JSON, digit for digit.
CREATE TABLE instruments (
    market     text COLLATE "C" NOT NULL,
    provider   text COLLATE "C" NOT NULL,
    symbol     text COLLATE "C" NOT NULL,
    registered boolean NOT NULL,
    detail     text NOT NULL,
    PRIMARY KEY (market, provider, symbol)
);

-- The splits of an instrument as a venue told them at read_ms; detail is a JSON array.
CREATE TABLE splits (
    market   text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    symbol   text COLLATE "C" NOT NULL,
    read_ms  bigint NOT NULL,
    detail   text NOT NULL,
    PRIMARY KEY (market, provider, symbol)
);
