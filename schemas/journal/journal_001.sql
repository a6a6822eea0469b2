-- Version 1 of the journal: what waits for the database, in the order in which it came.
-- The payload stands last, so that counting and looking up do not read it.
CREATE TABLE waiting (
    sequence    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind        TEXT    NOT NULL,  -- record, deletion
    queued_at   REAL    NOT NULL,  -- Unix seconds
    size        INTEGER NOT NULL,  -- bytes of the payload
    tenant_id   TEXT    NOT NULL,
    response_id TEXT,
    exchange_id TEXT    NOT NULL,  -- empty for a deletion
    payload     BLOB    NOT NULL   -- msgpack
);

CREATE INDEX waiting_response ON waiting (response_id, tenant_id) WHERE response_id IS NOT NULL;

-- What the database will never take, and why.
CREATE TABLE dead_letters (
    sequence    INTEGER NOT NULL PRIMARY KEY,
    reason      TEXT    NOT NULL,
    buried_at   REAL    NOT NULL,  -- Unix seconds
    kind        TEXT    NOT NULL,
    queued_at   REAL    NOT NULL,
    size        INTEGER NOT NULL,
    tenant_id   TEXT    NOT NULL,
    response_id TEXT,
    exchange_id TEXT    NOT NULL,
    payload     BLOB    NOT NULL
);
