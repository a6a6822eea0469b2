"""A folder on `PYTHONPATH` with which scripts of tests get into the ingester's process."""
