"""Formatting of what is stored: numbers, tokens, bodies and conversations as text."""
