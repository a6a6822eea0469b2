"""Compare two exchanges: what the later request has changed, and from where on.

What a request repeats of the earlier one, and of its answer, is the same as long as everything up
to there is: a prompt cache goes by that as well. It begins with the model, the tools and the
instructions; items follow. Ids, states and annotations of items do not count, as clients leave them
out when they send an answer back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff
from itertools import islice
from typing import NamedTuple, TypeAlias

from response_store.format.composition import CONTENTS, Composition, measure, weigh_request
from response_store.format.exchange import Exchanged
from response_store.format.settings import flatten_setting, list_settings, name_tools
from response_store.openai_api.item_images import find_images
from response_store.openai_api.item_texts import Fields, as_list, as_name
from response_store.openai_api.items import TurnItem, join_turns, read_input_items

MAX_ALIGNED = 2_000
"""Items of each side that are aligned, which takes time by the square of their number."""
MAX_LINES = 3_000
"""Lines of instructions that are compared line by line."""
_CONTEXT = 2  # lines around one that differs
_AROUND = 24  # characters before and behind the first that differs
_CACHE_SETTINGS = ("service_tier", "prompt_cache", "text.format", "response_format", "reasoning")

_Key: TypeAlias = tuple[object, ...]


class _Side(NamedTuple):
    """The items of one side, and what each of them says."""

    items: Sequence[TurnItem]
    keys: Sequence[_Key]

    @classmethod
    def of(cls, items: Sequence[TurnItem]) -> _Side:
        return cls(items, [_identify(item) for item in items])


class SettingChange(NamedTuple):
    """A setting of both requests; nothing where one has not got it."""

    name: str
    before: str
    after: str


class ItemChange(NamedTuple):
    """Items that are the same (a blank and how many), or one that was added or removed.

    `number` is its place among the items of its request, counted from 1.
    """

    sign: str
    items: int = 1
    number: int = 0
    label: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class ToolChanges:
    """The tools that were added, removed and changed, by name; and whether the others moved."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    is_reordered: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.is_reordered)


@dataclass(frozen=True, slots=True)
class Difference:
    """What a later request has changed.

    `instructions` are the lines of a diff. Of the items that are the same, `from_answer` were
    answered by the earlier exchange. `first` says where the requests differ
    first; it is empty where the later one begins with all of the earlier one. `diagnostics` is what
    the API itself says of its cache.
    """

    settings: tuple[SettingChange, ...]
    tools: ToolChanges
    instructions: tuple[str, ...]
    items: tuple[ItemChange, ...]
    from_answer: int
    first: str
    is_carried: bool
    diagnostics: tuple[tuple[str, str], ...]
    before: Composition
    after: Composition

    @property
    def same_items(self) -> int:
        """Return how many items are the same."""
        return sum(change.items for change in self.items if change.sign == " ")


def compare(before: Exchanged, after: Exchanged) -> Difference:
    """Return what differs between two exchanges."""
    earlier_inputs, inputs = _list_inputs(before), _list_inputs(after)
    earlier, later = _Side.of([*earlier_inputs, *before.answered]), _Side.of(inputs)
    same = _count_same(earlier.keys, later.keys)
    items, from_answer = _align(earlier, later, len(earlier_inputs), same)
    settings = tuple(_compare_settings(before.request, after.request))
    tools = _compare_tools(before.request, after.request)
    is_carried = bool(
        after.request.get("previous_response_id") or after.request.get("conversation")
    )
    first = (
        _find_first_setting(settings, ("model",))
        or _find_first_tool(tools)
        or _find_first_text("instructions", before.instructions, after.instructions)
    )
    if not first and not is_carried and same < len(earlier_inputs):
        first = _find_first_item(same, earlier_inputs, inputs)
    return Difference(
        settings=settings,
        tools=tools,
        instructions=tuple(_compare_lines(before.instructions, after.instructions)),
        items=tuple(items),
        from_answer=from_answer,
        first=first or _find_first_setting(settings, _CACHE_SETTINGS),
        is_carried=is_carried,
        diagnostics=tuple(_list_diagnostics(after.answer)),
        before=weigh_request(before.request),
        after=weigh_request(after.request),
    )


def _list_inputs(exchanged: Exchanged) -> list[TurnItem]:
    """Return every item of a request, also those that have no text to be shown."""
    contents = (exchanged.request.get(name) for name in CONTENTS)
    items = [item for content in contents for item in read_input_items(content)]
    return items or exchanged.inputs


def _identify(item: TurnItem) -> _Key:
    """Return what two items have in common that say the same."""
    images = tuple(image.data for image in find_images(item.fields))
    encrypted = as_name(item.fields.get("encrypted_content"))
    return item.call, item.content, images, encrypted


def _count_same(before: Sequence[object], after: Sequence[object]) -> int:
    pairs = enumerate(zip(before, after, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(before), len(after)))


def _align(before: _Side, after: _Side, inputs: int, same: int) -> tuple[list[ItemChange], int]:
    """Return the items in order, and how many that are the same were answered.

    What was answered and not sent back is left out.
    """
    changes: list[ItemChange] = []
    answered = 0
    for kind, start, end, start_after, end_after in _list_steps(before.keys, after.keys, same):
        if kind == "equal":
            before_these = changes.pop().items if changes and changes[-1].sign == " " else 0
            changes.append(ItemChange(" ", before_these + end - start))
            answered += max(0, end - max(start, inputs))
            continue
        removed, added = range(start, min(end, inputs)), range(start_after, end_after)
        changes += [_describe_item("-", at, before.items[at]) for at in removed]
        changes += [_describe_item("+", at, after.items[at]) for at in added]
    return changes, answered


def _list_steps(
    before: Sequence[_Key], after: Sequence[_Key], same: int
) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield how one side becomes the other, as `SequenceMatcher` has it."""
    if same:
        yield "equal", 0, same, 0, same
    old, new = before[same:], after[same:]
    if max(len(old), len(new)) > MAX_ALIGNED:
        yield "replace", same, len(before), same, len(after)
        return
    for kind, *places in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        start, end, start_after, end_after = (same + place for place in places)
        yield kind, start, end, start_after, end_after


def _describe_item(sign: str, at: int, item: TurnItem) -> ItemChange:
    turns = join_turns([item])
    text = "\n".join(turn.text for turn in turns)
    return ItemChange(sign, 1, at + 1, _name_item(item), text)


def _name_item(item: TurnItem) -> str:
    return next((turn.label for turn in item.turns), as_name(item.fields.get("type")) or "item")


def _compare_settings(before: Fields, after: Fields) -> Iterator[SettingChange]:
    old = dict((*flatten_setting("model", before.get("model")), *list_settings(before)))
    new = dict((*flatten_setting("model", after.get("model")), *list_settings(after)))
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield SettingChange(name, old.get(name, ""), new.get(name, ""))


def _compare_tools(before: Fields, after: Fields) -> ToolChanges:
    old, new = _list_tools(before), _list_tools(after)
    shared = [name for name in new if name in old]
    return ToolChanges(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name in shared if old[name] != new[name]),
        is_reordered=shared != [name for name in old if name in new],
    )


def _list_tools(request: Fields) -> dict[str, object]:
    tools = [*as_list(request.get("tools")), *as_list(request.get("functions"))]
    return {", ".join(name_tools([tool])) or f"tool {at}": tool for at, tool in enumerate(tools, 1)}


def _compare_lines(before: str, after: str) -> Iterator[str]:
    if before == after:
        return
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > MAX_LINES:
        old, new = [f"({len(before)} characters)"], [f"({len(after)} characters)"]
    yield from islice(unified_diff(old, new, lineterm="", n=_CONTEXT), 2, None)


def _find_first_setting(settings: Sequence[SettingChange], names: tuple[str, ...]) -> str:
    named = (change for change in settings if change.name.startswith(names))
    return next((f"{one.name}: {one.before or '-'} → {one.after or '-'}" for one in named), "")


def _find_first_tool(tools: ToolChanges) -> str:
    for names, what in (
        (tools.changed, "was changed"),
        (tools.removed, "was removed"),
        (tools.added, "was added"),
    ):
        if names:
            return f"tools: {names[0]} {what}"
    return "tools: their order" if tools.is_reordered else ""


def _find_first_text(label: str, before: str, after: str) -> str:
    """Return where two texts differ first, with what stands there."""
    if before == after:
        return ""
    at = _count_same(before, after)
    start = max(0, at - _AROUND)
    pieces = (repr(text[start : at + _AROUND]) for text in (before, after))
    return f"{label}, character {at + 1:,}: {' → '.join(pieces)}"


def _find_first_item(
    same: int, earlier_inputs: Sequence[TurnItem], inputs: Sequence[TurnItem]
) -> str:
    old = earlier_inputs[same]
    if same >= len(inputs):
        return f"item {same + 1} ({_name_item(old)}) was left out"
    new = inputs[same]
    label = f"item {same + 1} ({_name_item(new)})"
    texts = ["\n".join(turn.text for turn in item.turns) for item in (old, new)]
    if _name_item(old) != _name_item(new):
        return f"{label} was {_name_item(old)}"
    return _find_first_text(label, *texts) or f"{label}: what is not text in it"


def _list_diagnostics(answer: Fields) -> Iterator[tuple[str, str]]:
    for name, value in answer.items():
        if name.endswith("diagnostics") and measure(value) > len("null"):
            yield from flatten_setting(name, value)
