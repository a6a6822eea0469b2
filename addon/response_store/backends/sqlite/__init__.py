"""The SQLite file: connections, schema, writing, reading."""
