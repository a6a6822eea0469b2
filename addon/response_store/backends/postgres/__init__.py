"""The PostgreSQL database: addresses and connections, schema, batches, reading."""
