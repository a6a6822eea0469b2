"""Secrets in bodies and texts: found by patterns, and gone before anything is written."""
