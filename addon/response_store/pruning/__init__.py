"""Removing what is old or too much: small batches that never hold up capture."""
