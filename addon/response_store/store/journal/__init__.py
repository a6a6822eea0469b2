"""The journal: a SQLite file in which records wait for their database; its two ends."""
