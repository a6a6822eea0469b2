"""Real proxies that write to real PostgreSQL servers."""
