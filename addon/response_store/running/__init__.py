"""A command that is run with a proxy of its own, which captures the command's traffic."""
