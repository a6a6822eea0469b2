-- Version 2 of our own tables: which exchanges the full-text index has.
CREATE TABLE {exchanges_search} (
    exchange_id TEXT COLLATE "C" NOT NULL PRIMARY KEY
        REFERENCES {exchanges} (exchange_id) ON DELETE CASCADE,
    tenant_id   TEXT             NOT NULL,
    started_at  DOUBLE PRECISION NOT NULL,
    state       TEXT             NOT NULL,  -- of the exchange when it was indexed
    characters  BIGINT           NOT NULL,  -- of text that are indexed
    cut         BIGINT           NOT NULL   -- of text that were too much
);

-- Those that may have changed since.
CREATE INDEX {exchanges_search_unfinished_index} ON {exchanges_search} (exchange_id)
    WHERE state NOT IN ('completed', 'incomplete', 'failed', 'cancelled', 'refused');

-- The words of each entry, in parts. They come cut by ourselves: no configuration has a say.
CREATE TABLE {exchanges_search_words} (
    exchange_id TEXT COLLATE "C" NOT NULL
        REFERENCES {exchanges_search} (exchange_id) ON DELETE CASCADE,
    part        BIGINT           NOT NULL,
    words       TSVECTOR         NOT NULL,
    PRIMARY KEY (exchange_id, part)
);

CREATE INDEX {exchanges_search_words_index} ON {exchanges_search_words} USING GIN (words);
