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
ALTER TABLE {exchanges} ADD COLUMN cache_write_tokens BIGINT;
-- Why the answer is incomplete.
ALTER TABLE {exchanges} ADD COLUMN incomplete_reason TEXT;
-- JSON: what the answer said of limits.
ALTER TABLE {exchanges} ADD COLUMN rate_limits TEXT;
-- Of input and answer, by which what continues them is known.
ALTER TABLE {exchanges} ADD COLUMN context_digest TEXT;
-- The exchange whose body has to be at hand to unpack `request_body`; null where none has to.
ALTER TABLE {exchanges} ADD COLUMN request_base_id TEXT;
-- Beginnings of ids are looked for; the first turn of a session, and the last one, come by it.
CREATE INDEX {exchanges_session_index} ON {exchanges} (session_id text_pattern_ops, started_at)
    WHERE session_id IS NOT NULL;
CREATE INDEX {exchanges_context_index} ON {exchanges} (context_digest, started_at)
    WHERE context_digest IS NOT NULL;
CREATE INDEX {exchanges_label_index} ON {exchanges} (label, started_at)
    WHERE label IS NOT NULL;
CREATE INDEX {exchanges_base_index} ON {exchanges} (request_base_id)
    WHERE request_base_id IS NOT NULL;
-- For people who ask by SQL: times, which psql shows as local ones, and texts short enough for a line.
CREATE VIEW {exchanges_view} AS
SELECT
    CASE WHEN started_at BETWEEN 0 AND 1e11 THEN to_timestamp(started_at) END AS time,
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
-- What belongs together, an exchange of which no session is known by itself.
CREATE VIEW {exchanges_sessions_view} AS
SELECT
    coalesce(session_id, exchange_id) AS session_id,
    CASE WHEN min(started_at) BETWEEN 0 AND 1e11 THEN to_timestamp(min(started_at)) END AS began,
    CASE WHEN max(started_at) BETWEEN 0 AND 1e11 THEN to_timestamp(max(started_at)) END AS last,
    (array_agg(question ORDER BY started_at) FILTER (WHERE question IS NOT NULL))[1] AS question,
    count(DISTINCT coalesce(response_id, exchange_id)) AS turns,
    count(*) FILTER (
        WHERE state IN ('failed', 'refused', 'interrupted', 'unreadable', 'too_large')) AS errors,
    CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
    CAST(sum(cached_tokens) AS BIGINT) AS cached_tokens,
    CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
    string_agg(DISTINCT coalesce(model, requested_model), ',') AS models,
    string_agg(DISTINCT agent, ',') AS agents,
    max(label) AS label,
    tenant_id
FROM {exchanges}
GROUP BY tenant_id, coalesce(session_id, exchange_id);
