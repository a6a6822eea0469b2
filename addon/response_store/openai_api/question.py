"""Tell in one line what is new in a request: the question that it asks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from response_store import jsontext

_QUESTION_CHARS = 300
PLAIN_CHARS, SEARCHED_CHARS = 1_000, 8_000
"""Characters of a question that are read, and those where secrets are looked for in it: a secret in
the beginning has to be whole."""
_tag = re.compile(r"<([a-zA-Z][\w-]{0,60})(?: [^<>]{0,200})?>").match
_last_tag = re.compile(r"</([a-zA-Z][\w-]{0,60})>\Z").search
_MAX_UNWRAPPED = 20_000  # characters of a text that are looked at for tags
_MAX_BLOCKS = 100  # that are taken off a text
_MARKUP = frozenset(
    "a abbr b big cite code del em font i ins kbd mark q s small span strong sub sup tt u".split()
)
_TAIL = 100  # characters in which a closing tag stands


def describe_question(
    new: Sequence[tuple[bool, str, str]], names: Mapping[str, str], size: int
) -> str | None:
    """Return what is new in a request, in one line: the user's last text, else the last result.

    Of each new piece there is whether it is a result, its text and the id of the call; `names` has
    those of the calls, by id. At most `size` characters are read.
    """
    texts = [text for is_result, text, _ in new if not is_result]
    for text in reversed(texts):
        if short := _shorten(_unwrap(text), size):
            return short
    results = [(text, call_id) for is_result, text, call_id in new if is_result]
    if not results:
        return _shorten(texts[-1], size)
    text, call_id = results[-1]
    return _shorten(f"→ {names.get(call_id) or 'result'}: {text[:size]}", size)


def _unwrap(text: str) -> str:
    """Return a text without the blocks in tags that agents put before and behind it."""
    if len(text) > _MAX_UNWRAPPED or "</" not in text:
        return text
    text = text.strip()
    for _ in range(_MAX_BLOCKS):
        tag = _tag(text)
        end = -1 if tag is None or tag[1] in _MARKUP else text.find(f"</{tag[1]}>", tag.end())
        if tag is None or end < 0:
            break
        text = text[end + len(tag[1]) + 3 :].lstrip()
    for _ in range(_MAX_BLOCKS):
        close = _last_tag(text, max(0, len(text) - _TAIL))
        start = -1 if close is None or close[1] in _MARKUP else _find_opening(text, close[1])
        if start < 0:
            break
        text = text[:start].rstrip()
    return text


def _find_opening(text: str, name: str) -> int:
    """Return where the last opening tag of this name begins; -1 where there is none."""
    start = text.rfind(f"<{name}>")
    with_more = text.rfind(f"<{name} ")
    return max(start, with_more)


def _shorten(text: str, size: int) -> str | None:
    """Return the beginning of a text in one line, of at most so many characters."""
    line = text[:size]
    if "  " in line or not line.isprintable():  # a fifth of the time where it has no line ends
        line = " ".join(line.split())
    line = line.strip()
    return jsontext.replace_unstorable(line) or None


def shorten_question(question: str) -> str:
    """Return a question as it is stored."""
    return f"{question[: _QUESTION_CHARS - 1]}…" if len(question) > _QUESTION_CHARS else question
