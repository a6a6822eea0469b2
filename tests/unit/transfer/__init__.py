"""Rows on the move."""
