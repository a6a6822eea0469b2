"""The journal: append-only segment files between mitmproxy's process and the ingester.

`frames` is the format, `directory` a journal's folder with its locks, `writer` appends in
mitmproxy's process, `segments` also in the ingester's, `reader` reads what both have appended.
"""
