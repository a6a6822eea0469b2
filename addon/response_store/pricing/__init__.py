"""Prices of tokens, and what exchanges cost by them."""
