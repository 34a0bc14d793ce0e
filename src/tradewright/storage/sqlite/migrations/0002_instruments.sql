-- What venues list and imports brought; detail is the instrument as JSON.
CREATE TABLE instruments (
    market     TEXT NOT NULL,
    provider   TEXT NOT NULL,
    symbol     TEXT NOT NULL,
    registered INTEGER NOT NULL CHECK (registered IN (0, 1)),
    detail     TEXT NOT NULL,
    PRIMARY KEY (market, provider, symbol)
) STRICT, WITHOUT ROWID;
