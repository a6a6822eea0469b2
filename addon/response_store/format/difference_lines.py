"""Write a difference as lines for people, each of a kind, and as an object for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from os.path import commonprefix
from typing import NamedTuple

from response_store.format.bodies import Tokens
from response_store.format.composition import Composition
from response_store.format.difference import Difference, ItemChange, SettingChange
from response_store.format.text import escape_controls, format_size, put_on_one_line

CACHED_FROM = 1_024
"""Tokens that a request must have before the API caches any of it."""
_MAX_TEXT = 200  # characters of an item
_MAX_LINE = 400  # characters of a line of instructions


class LineKind(StrEnum):
    """What a line says, by which it gets its colour."""

    HEADING = "heading"
    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"
    PLAIN = "plain"


class DifferenceLine(NamedTuple):
    """A line of a difference, which holds nothing that a terminal obeys."""

    kind: LineKind
    text: str


def list_lines(difference: Difference, before: Tokens, after: Tokens) -> Iterator[DifferenceLine]:
    """Yield the lines: what has changed, then what became of the cache, then what is sent."""
    yield from list_changes(difference, before, after)
    yield from _list_composition(difference.before, difference.after)


def list_changes(difference: Difference, before: Tokens, after: Tokens) -> Iterator[DifferenceLine]:
    """Yield what has changed, then what became of the cache."""
    yield from _list_settings(difference.settings)
    yield from _list_tools(difference)
    if difference.instructions:
        yield DifferenceLine(LineKind.HEADING, "instructions")
        yield from map(_mark_line, _cut_lines(difference.instructions))
    yield DifferenceLine(LineKind.HEADING, "items")
    if difference.is_carried and not difference.same_items:
        carried = "those before are carried by the response or conversation that is named"
        yield DifferenceLine(LineKind.SAME, f"  {carried}")
    for change in difference.items:
        yield _describe_change(change)
    if difference.from_answer:
        text = f"  of the same ones, {_count(difference.from_answer)} had been answered"
        yield DifferenceLine(LineKind.SAME, text)
    yield from _list_cache(difference, before, after)


def _list_settings(settings: tuple[SettingChange, ...]) -> Iterator[DifferenceLine]:
    if settings:
        yield DifferenceLine(LineKind.HEADING, "settings")
    for name, old, new in settings:
        if old:
            yield DifferenceLine(LineKind.REMOVED, _safe(f"- {name}={old}"))
        if new:
            yield DifferenceLine(LineKind.ADDED, _safe(f"+ {name}={new}"))


def _list_tools(difference: Difference) -> Iterator[DifferenceLine]:
    tools = difference.tools
    if not tools:
        return
    yield DifferenceLine(LineKind.HEADING, "tools")
    for name in tools.removed:
        yield DifferenceLine(LineKind.REMOVED, _safe(f"- {name}"))
    for name in tools.added:
        yield DifferenceLine(LineKind.ADDED, _safe(f"+ {name}"))
    for name in tools.changed:
        yield DifferenceLine(LineKind.PLAIN, _safe(f"~ {name}"))
    if tools.is_reordered:
        yield DifferenceLine(LineKind.PLAIN, "~ their order")


def _mark_line(line: str) -> DifferenceLine:
    kinds = {"+": LineKind.ADDED, "-": LineKind.REMOVED, "@": LineKind.SAME}
    return DifferenceLine(kinds.get(line[:1], LineKind.PLAIN), escape_controls(line))


def _cut_lines(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a diff; of a long one the piece that differs from the other of a pair."""
    for at, line in enumerate(lines):
        if len(line) <= _MAX_LINE:
            yield line
            continue
        step = {"-": 1, "+": -1}.get(line[0], 0)
        other = lines[at + step] if step and 0 <= at + step < len(lines) else ""
        pair = f"{line[0]}{other[1:]}" if other[:1] == {"-": "+", "+": "-"}.get(line[0]) else ""
        same = len(commonprefix([line, pair]))  # noqa: RUF071 - of characters
        start = max(1, same - _MAX_LINE // 4)
        cut = line[start : start + _MAX_LINE]
        more = ("\u2026" if start > 1 else "", "\u2026" if start + len(cut) < len(line) else "")
        yield f"{line[0]}{more[0]}{cut}{more[1]}"


def _describe_change(change: ItemChange) -> DifferenceLine:
    if change.sign == " ":
        return DifferenceLine(LineKind.SAME, f"  {_count(change.items)} the same")
    text = put_on_one_line(change.text[: 4 * _MAX_TEXT])
    short = text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}\u2026"
    line = _safe(f"{change.sign} {change.number} {change.label}: {short}".rstrip(": "))
    return DifferenceLine(LineKind.ADDED if change.sign == "+" else LineKind.REMOVED, line)


def _count(items: int) -> str:
    return "1 item" if items == 1 else f"{items:,} items"


def _list_cache(difference: Difference, before: Tokens, after: Tokens) -> Iterator[DifferenceLine]:
    yield DifferenceLine(LineKind.HEADING, "cache")
    for name, tokens in (("before", before), ("after", after)):
        if tokens.input:
            cached = tokens.cached or 0
            share = f"{cached:,} of {tokens.input:,} input tokens ({_share(cached, tokens.input)})"
            yield DifferenceLine(LineKind.PLAIN, f"  {name:<6}  {share}")
    if difference.first:
        yield DifferenceLine(LineKind.PLAIN, f"  {_safe(f'differs first in {difference.first}')}")
    elif after.input is not None and after.input < CACHED_FROM:
        yield DifferenceLine(LineKind.PLAIN, f"  below {CACHED_FROM:,} tokens nothing is cached")
    else:
        yield DifferenceLine(LineKind.PLAIN, "  nothing differs up to the end of the earlier one")
    for name, value in difference.diagnostics:
        yield DifferenceLine(LineKind.PLAIN, f"  {_safe(f'{name}: {value}')}")


def _list_composition(before: Composition, after: Composition) -> Iterator[DifferenceLine]:
    if not (before.total or after.total):
        return
    yield DifferenceLine(LineKind.HEADING, f"{'request':<11}{'before':>14} {'after':>14}")
    names = (*Composition._fields, "total")
    for name in names:
        old, new = getattr(before, name), getattr(after, name)
        if old or new:
            parts = (_weigh(old, before.total), _weigh(new, after.total))
            yield DifferenceLine(LineKind.PLAIN, f"  {name:<9}{parts[0]:>14} {parts[1]:>14}")


def _weigh(count: int, total: int) -> str:
    return f"{format_size(count)} {_share(count, total):>5}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _safe(text: str) -> str:
    return put_on_one_line(text)


def build_object(difference: Difference, before: Tokens, after: Tokens) -> dict[str, object]:
    """Return a difference for programs; `cached_share` is between 0 and 1, or null."""
    known = asdict(difference)
    sizes = {"before": difference.before._asdict(), "after": difference.after._asdict()}
    return {
        "settings": [change._asdict() for change in difference.settings],
        "tools": known["tools"],
        "instructions": list(difference.instructions),
        "same_items": difference.same_items,
        "same_items_from_answer": difference.from_answer,
        "items": [change._asdict() for change in difference.items],
        "is_carried": difference.is_carried,
        "first_difference": difference.first or None,
        "diagnostics": dict(difference.diagnostics),
        "tokens": {"before": before._asdict(), "after": after._asdict()},
        "cached_share": (after.cached or 0) / after.input if after.input else None,
        "request_bytes": sizes,
    }
