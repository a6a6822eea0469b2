"""A command, run with a proxy of its own that keeps what the command is answered."""
