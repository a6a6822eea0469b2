"""Rows and what can be said of them: states, which row wins, selections. No database."""
