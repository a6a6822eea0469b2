"""The journal, and the drainer that empties it."""
