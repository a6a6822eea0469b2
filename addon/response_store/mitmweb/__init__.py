"""What mitmproxy's own tools show of us: commands, marks, a contentview, and warnings at start."""

from __future__ import annotations

from response_store.mitmweb.commands import ALL_WRITTEN, Commands
from response_store.mitmweb.contentview import add_contentview
from response_store.mitmweb.marks import marks_of
from response_store.mitmweb.warned import listening_warnings

__all__ = ["ALL_WRITTEN", "Commands", "add_contentview", "listening_warnings", "marks_of"]
