-- Version 9 of our own tables: of an answer's text, by which it is known where only that comes again.
ALTER TABLE {exchanges} ADD COLUMN answer_digest TEXT;
CREATE INDEX {exchanges_answer_index} ON {exchanges} (answer_digest, started_at)
    WHERE answer_digest IS NOT NULL;
