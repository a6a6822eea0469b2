-- Version 5 of our own tables: who indexes and prunes says so in a row, and says it again while it
-- works. A lock of a session would be lost behind a pooler, which gives each transaction another one.
CREATE TABLE {exchanges_leases} (
    role       TEXT             NOT NULL PRIMARY KEY,
    holder     TEXT             NOT NULL,  -- a process, by an id that it has made
    expires_at DOUBLE PRECISION NOT NULL   -- Unix seconds, by the server's clock
);
