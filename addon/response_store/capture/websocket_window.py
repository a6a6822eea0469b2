"""The messages of a socket that mitmproxy goes on holding.

It keeps every one, so a socket that is open all day would grow all day. Those that were handled are
removed; the last one stays, because others read it, and where flows are written to a file all of
them stay.
"""

from __future__ import annotations

from typing import Any

SEEN = 200
"""Messages that stay where a user looks at flows."""
SEEN_BYTES = 4 * 1024 * 1024
"""Bytes of these, unless a single message has more."""


class MessageTrimmer:
    """Keeps the newest messages of one list: at most twice what is asked for, at least the last
    one.
    """

    def __init__(self) -> None:
        self._bytes = 0  # since the list was last cut

    def trim(self, messages: list[Any], keep: int) -> None:
        """Cut the list to its last `keep` messages where the newest one has made it too long."""
        self._bytes += len(messages[-1].content)
        if len(messages) < 2 * keep and self._bytes <= 2 * SEEN_BYTES:
            return
        kept, size = 1, len(messages[-1].content)
        for message in reversed(messages[-keep:-1]):
            size += len(message.content)
            if size > SEEN_BYTES:
                break
            kept += 1
        del messages[:-kept]
        self._bytes = sum(len(message.content) for message in messages)


def count_kept_messages(master: Any, options: Any) -> int | None:
    """Return how many messages of a socket stay; None where all of them do.

    `save_stream_file` (`-w`) and `hardump` write whole flows when they end.
    """
    if options.save_stream_file or options.hardump:
        return None
    return 1 if type(master).__module__.endswith(".dump") else SEEN
