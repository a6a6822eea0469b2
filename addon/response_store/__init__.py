"""Response Store: a mitmproxy addon that keeps every OpenAI response, durably."""

from __future__ import annotations

__version__ = "0.1.0"
