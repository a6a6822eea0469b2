-- A table that praxis-proxy/ai has as well: the same columns and key, so that either program
-- reads and writes the other's database. JSON is kept as text.
CREATE TABLE {responses} (
    tenant_id       TEXT   NOT NULL,
    id              TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,  -- Unix seconds
    model           TEXT   NOT NULL,
    response_object TEXT   NOT NULL,  -- JSON object, verbatim
    input           TEXT   NOT NULL,  -- JSON array of items
    messages        TEXT   NOT NULL,  -- JSON array: input items, then output items
    PRIMARY KEY (tenant_id, id)
);
