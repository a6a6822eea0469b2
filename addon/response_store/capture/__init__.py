"""From what passes on the wire to records: classify, follow, read, build."""
