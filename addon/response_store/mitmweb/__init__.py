"""Commands, flow marks, a contentview and warnings in mitmproxy's own tools."""

from __future__ import annotations

from response_store.mitmweb.commands import ALL_WRITTEN, Commands
from response_store.mitmweb.contentview import add_contentview
from response_store.mitmweb.marks import build_marks
from response_store.mitmweb.warned import list_listening_warnings

__all__ = ["ALL_WRITTEN", "Commands", "add_contentview", "build_marks", "list_listening_warnings"]
