-- Version 7 of our own tables: what belongs together, what was new in a request, what its answer says
-- of tier, cache, limits and why it is incomplete. All null in rows of earlier versions.
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
-- Beginnings of ids are looked for; the first turn of a session, and the last one, come by it.
CREATE INDEX {exchanges_session_index} ON {exchanges} (session_id text_pattern_ops, started_at)
    WHERE session_id IS NOT NULL;
CREATE INDEX {exchanges_context_index} ON {exchanges} (context_digest)
    WHERE context_digest IS NOT NULL;
CREATE INDEX {exchanges_label_index} ON {exchanges} (label, started_at)
    WHERE label IS NOT NULL;
