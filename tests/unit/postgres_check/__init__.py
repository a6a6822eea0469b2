"""Tests of the check that goes to a PostgreSQL database."""
