"""Commands, flow marks, a contentview and warnings in mitmproxy's own tools."""

from __future__ import annotations

from response_store.mitmweb.commands import ALL_WRITTEN, Commands, list_listening_warnings
from response_store.mitmweb.contentview import add_contentview
from response_store.mitmweb.flow_marks import build_marks

__all__ = ["ALL_WRITTEN", "Commands", "add_contentview", "build_marks", "list_listening_warnings"]
