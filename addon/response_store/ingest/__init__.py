"""What reads bodies, builds records and writes the database: runs in a process of its own."""
