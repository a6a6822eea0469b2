-- Version 7 of our own tables: what belongs together, what was new in a request, what its answer says
-- of tier, cache, limits and why it is incomplete, and what its body is packed against. All null in rows of
-- earlier versions.
-- What belongs together: a run of a tool, a conversation.
ALTER TABLE {exchanges} ADD COLUMN session_id TEXT;
-- What this one continues.
ALTER TABLE {exchanges} ADD COLUMN parent_exchange_id TEXT;
-- Which of a tool's agents asked, as the tool calls it.
ALTER TABLE {exchanges} ADD COLUMN agent TEXT;
-- What `run` or the configuration calls it.
ALTER TABLE {exchanges} ADD COLUMN label TEXT;
-- What is new in the request, shortened.
ALTER TABLE {exchanges} ADD COLUMN question TEXT;
-- Of the answer.
ALTER TABLE {exchanges} ADD COLUMN service_tier TEXT;
-- Of the input, written to the cache.
ALTER TABLE {exchanges} ADD COLUMN cache_write_tokens INTEGER;
-- Why the answer is incomplete.
ALTER TABLE {exchanges} ADD COLUMN incomplete_reason TEXT;
-- JSON: what the answer said of limits.
ALTER TABLE {exchanges} ADD COLUMN rate_limits TEXT;
-- Of input and answer, by which what continues them is known.
ALTER TABLE {exchanges} ADD COLUMN context_digest TEXT;
-- The exchange whose body has to be at hand to unpack `request_body`; null where none has to.
ALTER TABLE {exchanges} ADD COLUMN request_base_id TEXT;
-- The first turn of a session, and the last one, come by it as well.
CREATE INDEX {exchanges_session_index} ON {exchanges} (session_id, started_at)
    WHERE session_id IS NOT NULL;
CREATE INDEX {exchanges_context_index} ON {exchanges} (context_digest, started_at)
    WHERE context_digest IS NOT NULL;
CREATE INDEX {exchanges_label_index} ON {exchanges} (label, started_at)
    WHERE label IS NOT NULL;
CREATE INDEX {exchanges_base_index} ON {exchanges} (request_base_id)
    WHERE request_base_id IS NOT NULL;
-- For people who ask by SQL: local times, and texts short enough for a line.
CREATE VIEW {exchanges_view} AS
SELECT
    datetime(started_at, 'unixepoch', 'localtime') AS time,
    state,
    coalesce(model, requested_model) AS model,
    question,
    substr(output_text, 1, 500) AS answer,
    input_tokens,
    cached_tokens,
    output_tokens,
    round(duration_ms) AS ms,
    coalesce(error_code || ': ' || error_message, error_code, error_message) AS error,
    session_id,
    agent,
    label,
    host,
    tenant_id,
    response_id,
    exchange_id,
    started_at
FROM {exchanges};
-- What belongs together; an exchange of which no session is known is one by itself.
CREATE VIEW {exchanges_sessions_view} AS
SELECT
    coalesce(session_id, exchange_id) AS session_id,
    datetime(min(started_at), 'unixepoch', 'localtime') AS began,
    datetime(max(started_at), 'unixepoch', 'localtime') AS last,
    coalesce((
        SELECT first.question FROM {exchanges} AS first
        WHERE first.session_id = one.session_id AND first.tenant_id = one.tenant_id
            AND first.question IS NOT NULL
        ORDER BY first.started_at LIMIT 1), max(question)) AS question,
    count(DISTINCT coalesce(response_id, exchange_id)) AS turns,
    sum(state IN ('failed', 'refused', 'interrupted', 'unreadable', 'too_large')) AS errors,
    sum(input_tokens) AS input_tokens,
    sum(cached_tokens) AS cached_tokens,
    sum(output_tokens) AS output_tokens,
    group_concat(DISTINCT coalesce(model, requested_model)) AS models,
    group_concat(DISTINCT agent) AS agents,
    max(label) AS label,
    tenant_id
FROM {exchanges} AS one
GROUP BY tenant_id, coalesce(session_id, exchange_id);
