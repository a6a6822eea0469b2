"""Tests of the rules for PostgreSQL: URLs, addresses, TLS, and what is connected to."""
