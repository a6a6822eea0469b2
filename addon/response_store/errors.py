"""Every error that Response Store raises, as one small tree.

The text of each says where, which rule, and how to fix it; it never carries a value that could be
secret, so it may be shown anywhere.
"""

from __future__ import annotations


class ResponseStoreError(Exception):
    """Something in Response Store went wrong."""


class ConfigError(ResponseStoreError):
    """The configuration is refused. The text lists every problem, one a paragraph."""


class StoreError(ResponseStoreError):
    """The database refused or failed."""


class TransientStoreError(StoreError):
    """The database failed in a way that may pass: locked, full, not reachable. Try again later."""


class PermanentStoreError(StoreError):
    """The database can't be used until somebody fixes it: wrong schema, no access, corrupt file."""


class RowRefusedError(StoreError):
    """The database refuses one row, whatever the attempt; the other rows of its batch are fine."""


class StoppedError(ResponseStoreError):
    """What runs is to end at once: what is left of it is done later, or wanted by nobody."""
