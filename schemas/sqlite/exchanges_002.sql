-- Version 2 of our own tables: which exchanges the full-text index has.
CREATE TABLE {exchanges_search} (
    entry_id    INTEGER PRIMARY KEY,    -- explicit: VACUUM renumbers implicit ones
    exchange_id TEXT    NOT NULL UNIQUE,
    tenant_id   TEXT    NOT NULL,
    started_at  REAL    NOT NULL,
    state       TEXT    NOT NULL,       -- of the exchange when it was indexed; # while it is
    characters  INTEGER NOT NULL,       -- of text that are indexed
    cut         INTEGER NOT NULL        -- of text that were too much
);

-- Those that may have changed since.
CREATE INDEX {exchanges_search_unfinished_index} ON {exchanges_search} (exchange_id)
    WHERE state NOT IN ('completed', 'incomplete', 'failed', 'cancelled', 'refused');

CREATE TRIGGER {exchanges_search_trigger} AFTER DELETE ON {exchanges} BEGIN
    DELETE FROM {exchanges_search} WHERE exchange_id = OLD.exchange_id;
END;
