-- A table that praxis-proxy/ai has as well: the same columns, key and index.
CREATE TABLE {conversations} (
    conversation_id TEXT   NOT NULL,
    tenant_id       TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    metadata        TEXT   NOT NULL,
    messages        TEXT   NOT NULL,
    PRIMARY KEY (conversation_id, tenant_id)
);

CREATE INDEX {conversations_tenant_index} ON {conversations} (tenant_id);
