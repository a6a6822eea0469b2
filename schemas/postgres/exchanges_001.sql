-- Version 1 of our own table: one row an exchange, whatever its end.
CREATE TABLE {exchanges} (
    exchange_id          TEXT    COLLATE "C" NOT NULL PRIMARY KEY,  -- uuid5 of flow, start, turn
    tenant_id            TEXT    NOT NULL,
    response_id          TEXT,
    previous_response_id TEXT,
    conversation_id      TEXT,
    api                  TEXT    NOT NULL,              -- responses, chat_completions
    transport            TEXT    NOT NULL,              -- http, sse, websocket
    state                TEXT    NOT NULL,
    ended_by             TEXT,                          -- null while the exchange is open
    status_code          BIGINT,
    error_code           TEXT,
    error_message        TEXT,
    started_at           DOUBLE PRECISION NOT NULL,     -- Unix seconds
    first_event_ms       DOUBLE PRECISION,
    duration_ms          DOUBLE PRECISION,
    requested_model      TEXT,
    model                TEXT,
    input_tokens         BIGINT,
    cached_tokens        BIGINT,
    output_tokens        BIGINT,
    reasoning_tokens     BIGINT,
    total_tokens         BIGINT,
    method               TEXT    NOT NULL,
    scheme               TEXT    NOT NULL,
    host                 TEXT    NOT NULL,
    path                 TEXT    NOT NULL,
    user_agent           TEXT,
    upstream_request_id  TEXT,
    request_body         BYTEA,                         -- zstd, credentials masked
    result               TEXT,                          -- JSON where {responses} has no row
    output_text          TEXT,
    raw_response         BYTEA,                         -- zstd
    recorder_id          TEXT    NOT NULL
);

CREATE INDEX {exchanges_started_index} ON {exchanges} (tenant_id, started_at);
-- Beginnings of ids are looked for, which takes an order by bytes, whatever the database's language
-- is: the key has it as its collation. A collation of its own here would keep joins from the index
-- of {responses}; these operators serve beginnings and joins alike.
CREATE INDEX {exchanges_response_index} ON {exchanges} (response_id text_pattern_ops)
    WHERE response_id IS NOT NULL;
-- Most exchanges continue nothing: these indexes cost only those that do.
CREATE INDEX {exchanges_previous_index} ON {exchanges} (previous_response_id)
    WHERE previous_response_id IS NOT NULL;
CREATE INDEX {exchanges_conversation_index} ON {exchanges} (conversation_id)
    WHERE conversation_id IS NOT NULL;
CREATE INDEX {exchanges_state_index} ON {exchanges} (state, api);
