"""How servers write the same events as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

BOM = b"\xef\xbb\xbf"
DONE = "data: [DONE]"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One server's habits. The defaults are OpenAI's: `event:` and `data:` lines, LF, no end mark.

    `multiline` spreads an event's JSON over several `data:` lines; `last_blank` says whether the
    last event is followed by its blank line.
    """

    newline: str = "\n"
    event_lines: bool = True
    done: bool = False
    comments: bool = False
    pings: bool = False
    bom: bool = False
    multiline: bool = False
    last_blank: bool = True
    space: bool = True
    ids: bool = False
    ascii: bool = False

    def frames(self, events: Iterable[Mapping[str, Any]]) -> list[bytes]:
        """The bytes of each event, comment and mark, in the order of sending."""
        frames = [frame for at, event in enumerate(events) for frame in self._frame(at, event)]
        if self.done:
            frames.append([DONE])
        written = [self._write(lines) for lines in frames]
        if not self.last_blank:
            written[-1] = written[-1].removesuffix(self.newline.encode())
        if self.bom:
            written[0] = BOM + written[0]
        return written

    def _frame(self, at: int, event: Mapping[str, Any]) -> Iterable[list[str]]:
        if self.comments:
            yield [": keep-alive"]
        if self.pings and at % 2:
            yield ["data: : ping"]
        yield [*self._names(at, event), *self._data(event)]

    def _names(self, at: int, event: Mapping[str, Any]) -> Iterable[str]:
        if self.event_lines and "type" in event:
            yield f"event:{' ' if self.space else ''}{event['type']}"
        if self.ids:
            yield f"id: {at}"
            yield "retry: 3000"

    def _data(self, event: Mapping[str, Any]) -> Iterable[str]:
        layout: dict[str, Any] = {"indent": 1} if self.multiline else {"separators": (",", ":")}
        text = json.dumps(event, ensure_ascii=self.ascii, **layout)
        return [f"data:{' ' if self.space else ''}{line}" for line in text.split("\n")]

    def _write(self, lines: Iterable[str]) -> bytes:
        return self.newline.join([*lines, "", ""]).encode(errors="backslashreplace")


OPENAI = Dialect()
DATA_ONLY = Dialect(event_lines=False)
CHAT = Dialect(event_lines=False, done=True)

DIALECTS = {
    "openai": OPENAI,
    "data only": DATA_ONLY,
    "done mark": Dialect(done=True),
    "data only and done mark": CHAT,
    "comments": Dialect(comments=True),
    "pings": Dialect(pings=True),
    "crlf": Dialect(newline="\r\n"),
    "cr": Dialect(newline="\r"),
    "bom": Dialect(bom=True),
    "multi-line data": Dialect(multiline=True),
    "no last blank line": Dialect(last_blank=False),
    "no space after the colon": Dialect(space=False),
    "ids and retries": Dialect(ids=True),
    "escaped": Dialect(ascii=True),
    "all at once": Dialect(
        newline="\r\n", done=True, comments=True, pings=True, bom=True, multiline=True, ids=True
    ),
}
