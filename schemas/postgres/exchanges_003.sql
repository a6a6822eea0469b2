-- Version 3 of our own tables: where each journal stands, written with the rows that come from it.
CREATE TABLE {exchanges_journals} (
    journal_id  TEXT             NOT NULL PRIMARY KEY,  -- '' for the database itself
    position    BIGINT           NOT NULL,              -- the number of the last frame applied
    changed_at  DOUBLE PRECISION NOT NULL,              -- Unix seconds
    database_id TEXT                                    -- of the database, in its own row alone
);
