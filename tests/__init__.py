"""The tests of Response Store."""
