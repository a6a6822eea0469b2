-- Version 8 of our own tables: when the events of a stream came; null in rows of earlier versions.
ALTER TABLE {exchanges} ADD COLUMN event_times TEXT;
