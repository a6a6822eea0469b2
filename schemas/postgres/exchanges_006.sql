-- Version 6 of our own tables: the port beside the host; null in rows of earlier versions.
ALTER TABLE {exchanges} ADD COLUMN port BIGINT;
