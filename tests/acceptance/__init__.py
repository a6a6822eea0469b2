"""Real mitmdump processes, real clients, real files."""
