-- The tables that praxis-proxy/ai has as well: the same columns, keys and version table,
-- so that either program reads and writes the other's file. JSON is kept as text.
CREATE TABLE IF NOT EXISTS {responses} (
    tenant_id       TEXT   NOT NULL,
    id              TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,  -- Unix seconds
    model           TEXT   NOT NULL,
    response_object TEXT   NOT NULL,  -- JSON object, verbatim
    input           TEXT   NOT NULL,  -- JSON array of items
    messages        TEXT   NOT NULL,  -- JSON array: input items, then output items
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE IF NOT EXISTS {conversations} (
    conversation_id TEXT   NOT NULL,
    tenant_id       TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    metadata        TEXT   NOT NULL,
    messages        TEXT   NOT NULL,
    PRIMARY KEY (conversation_id, tenant_id)
);

CREATE INDEX IF NOT EXISTS {conversations_tenant_index} ON {conversations} (tenant_id);

CREATE TABLE IF NOT EXISTS {responses_version} (
    version BIGINT NOT NULL PRIMARY KEY
);
