"""Walk the items of an API call as labelled turns: what each side contributed, in order.

It is one walk for people (`show`, the content view) and for the search index. Items come as the
APIs define them, but also odd, partial or from other servers: whatever is not as expected is shown
by its type or left out, and nothing here raises. Base64 is never shown.

`messages` holds the input's items, then those of the output as they were accumulated of a stream.
Some servers send a last object whose output is empty, or lacks what had streamed (ChatGPT's
backend does so): then the accumulated items are what was answered. `build_accumulated_sql` gives
the same as `slice_accumulated`, so that a large input need not be fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

from msgspec import Raw

from response_store import jsontext
from response_store.openai_api.item_kinds import (
    CALL,
    CITATIONS,
    FROM_MODEL,
    REASONING,
    RESULT,
    LabelledTurn,
    read_function_call,
    read_item_turns,
)
from response_store.openai_api.item_texts import (
    Fields,
    as_fields,
    as_list,
    as_name,
    describe_attachment,
    extract_refusal,
    extract_text,
    extract_thoughts,
    join_lines,
)

_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_text")


@dataclass(frozen=True)
class TurnItem:
    """An item of an input or an output: its turns, and the call that it is of.

    Items are equal that have the same turns of the same call: a client that sends an answer back
    leaves out ids, states, annotations and phases.
    """

    turns: tuple[LabelledTurn, ...] = field(compare=False)
    call: str | None = None
    identifier: str | None = field(default=None, compare=False)
    refers: bool = field(default=False, compare=False)  # to the item that has the identifier
    fields: Fields = field(default_factory=dict, compare=False, repr=False)  # as they came
    content: tuple[tuple[str, str, str], ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        turns = [turn for turn in self.turns if not turn.aside] or self.turns
        content = tuple((turn.source, turn.name, turn.text) for turn in turns)
        object.__setattr__(self, "content", content)

    @cached_property
    def key(self) -> ItemKey:
        """Return what it is known by when a client sends it back, and writes arguments anew."""
        content = (
            (source, name, jsontext.sort_members(text) if source == CALL else text.strip())
            for source, name, text in self.content
        )
        return self.call, tuple(content)


ItemKey: TypeAlias = tuple[str | None, tuple[tuple[str, str, str], ...]]


def join_turns(items: Iterable[TurnItem]) -> list[LabelledTurn]:
    """Return the turns of items, in their order."""
    return [turn for item in items for turn in item.turns]


def find_instructions(request: object) -> str:
    """Return the instructions of a request body."""
    return extract_text(as_fields(request).get("instructions"))


class ItemReader:
    """Reads inputs one after the other, each of which mostly begins as the one before.

    What begins alike is compared, which takes a fiftieth of the time that reading it takes: a
    conversation that is sent again with each turn is read in a time that its length gives, not the
    square of that.
    """

    def __init__(self) -> None:
        self._values: list[object] = []
        self._items: list[TurnItem | None] = []

    def read(self, content: object) -> list[TurnItem]:
        """Return the items with text of an input."""
        if not isinstance(content, list) or not content:
            return [item for item in map(_keep_text, read_input_items(content)) if item]
        same = _count_alike(content, self._values)
        self._items = [*self._items[:same], *map(_keep_text, _read_items(content[same:], "user"))]
        self._values = content
        return [item for item in self._items if item is not None]


def _keep_text(item: TurnItem) -> TurnItem | None:
    """Return an item with those of its turns that have text; None where none has."""
    turns = tuple(turn for turn in item.turns if turn.text or turn.name)
    if len(turns) == len(item.turns):
        return item if turns else None
    return replace(item, turns=turns) if turns else None


def _count_alike(values: Sequence[object], before: Sequence[object]) -> int:
    """Return how many values both begin with."""
    try:
        pairs = enumerate(zip(values, before, strict=False))
        return next(
            (at for at, (one, other) in pairs if one != other), min(len(values), len(before))
        )
    except RecursionError:
        return 0


def read_request_items(request: object, reader: ItemReader | None = None) -> list[TurnItem]:
    """Return the items of a request body: input, prompt or messages. Those without text are not.

    `reader` is one that has read a request which this one probably goes on from.
    """
    body, reader = as_fields(request), reader or ItemReader()
    contents = (body.get(name) for name in ("input", "prompt", "messages", "items"))
    return [item for content in contents for item in reader.read(content)]


def read_response_items(result: object) -> list[TurnItem]:
    """Return the items of an answer: an output, a list of items, or a completion's choices."""
    body = as_fields(result)
    choices = (_read_choice(as_fields(choice)) for choice in as_list(body.get("choices")))
    listed = body.get("output", body.get("data"))
    return [*_read_items(listed, "assistant"), *choices]


def read_input_items(content: object) -> list[TurnItem]:
    """Return the items of an input: a plain text is the user's, an object a stored prompt."""
    if isinstance(content, str):
        return [TurnItem((LabelledTurn("user", extract_text(content)),))]
    if isinstance(content, dict):
        return [TurnItem((_read_stored_prompt(content),))]
    return list(_read_items(content, "user"))


def to_item(value: object, speaker: str) -> TurnItem:
    """Return one item, which is an object or a text of the speaker."""
    if isinstance(value, str):
        return TurnItem((LabelledTurn(speaker, extract_text(value)),))
    item = as_fields(value)
    return TurnItem(
        turns=tuple(_read_turns(item, speaker)),
        call=as_name(item.get("call_id")) or None,
        identifier=as_name(item.get("id")) or None,
        refers=item.get("type") == "item_reference",
        fields=item,
    )


def is_from_model(item: Fields) -> bool:
    """Return whether an item of an input is one that the model has sent before."""
    kind = str(item.get("type") or "message")
    if kind == "message":
        return item.get("role") == "assistant"
    return kind in FROM_MODEL or kind.endswith("_call")


def choose_fuller(output: list[object], accumulated: list[object]) -> list[object]:
    """Return the output items, or those that were accumulated where they hold more."""
    return accumulated if _weigh(accumulated) > _weigh(output) else output


def _weigh(items: list[object]) -> tuple[int, int]:
    turns = join_turns(_read_items(items, "assistant"))
    return len(items), sum(len(turn.text) + len(turn.name) for turn in turns)


def _read_items(items: object, speaker: str) -> Iterator[TurnItem]:
    return (to_item(value, speaker) for value in as_list(items))


def _read_choice(choice: Fields) -> TurnItem:
    """Return a choice of a completion: a message, or the text alone of the older API."""
    if isinstance(choice.get("text"), str) and not choice.get("message"):
        return to_item(choice["text"], "assistant")
    return to_item(as_fields(choice.get("message")), "assistant")


def _read_turns(item: Fields, speaker: str) -> Iterable[LabelledTurn]:
    kind = str(item.get("type") or ("message" if item else ""))
    if kind == "message":
        return _read_message(item, speaker)
    return read_item_turns(kind, item) if kind else ()


def _read_message(item: Fields, speaker: str) -> Iterator[LabelledTurn]:
    if thoughts := _find_thoughts(item):
        yield LabelledTurn(REASONING, thoughts, aside=True)
    role = as_name(item.get("role")) or speaker
    if text := _read_message_text(item):
        source = RESULT if role in ("tool", "function") else role
        phase = as_name(item.get("phase"))
        title = f"{source} ({phase.replace('_', ' ')})" if phase not in ("", _FINAL) else ""
        yield LabelledTurn(source, text, title=title, call=as_name(item.get("tool_call_id")))
    if function := as_fields(item.get("function_call")):  # before there were tools
        yield from read_function_call(function)
    for call in map(as_fields, as_list(item.get("tool_calls"))):
        function = as_fields(call.get("function") or call.get("custom"))
        yield from read_function_call(function, as_name(call.get("id")))
    if sources := _format_citations(item):
        yield LabelledTurn(CITATIONS, sources, aside=True)


_FINAL = "final_answer"


def _read_message_text(item: Fields) -> str:
    spoken = extract_text(as_fields(item.get("audio")).get("transcript"))
    images = (describe_attachment(as_fields(image)) for image in as_list(item.get("images")))
    refusal = extract_refusal(item.get("refusal"))
    return join_lines((extract_text(item.get("content")), spoken, *images, refusal))


def _find_thoughts(item: Fields) -> str:
    """Return a chat message's reasoning, which each server puts somewhere else."""
    texts = [extract_text(item.get(name)) for name in _THOUGHTS if item.get(name)]
    if not texts:
        details = map(as_fields, as_list(item.get("reasoning_details")))
        texts = [extract_text(one.get("text") or one.get("summary")) for one in details]
    return join_lines(dict.fromkeys((*texts, extract_thoughts(item.get("content")))))


def _format_citations(item: Fields) -> str:
    """Return where an answer says that it has its knowledge from, each source once."""
    parts = [item, *map(as_fields, as_list(item.get("content")))]
    notes = (note for part in parts for note in as_list(part.get("annotations")))
    return join_lines(dict.fromkeys(_format_citation(as_fields(note)) for note in notes))


def _format_citation(note: Fields) -> str:
    inner = as_fields(note.get(as_name(note.get("type")))) or note
    names = ("title", "filename", "url")
    words = [value for name in names if isinstance(value := inner.get(name), str)]
    return " ".join(words) or as_name(inner.get("file_id"))


def _read_stored_prompt(prompt: Fields) -> LabelledTurn:
    version = as_name(prompt.get("version"))
    name = " ".join(filter(None, (as_name(prompt.get("id")), version and f"version {version}")))
    variables = as_fields(prompt.get("variables"))
    lines = (f"{key}: {_format_variable(value)}" for key, value in variables.items())
    return LabelledTurn("prompt", join_lines(lines) or name, name)


def _format_variable(value: object) -> str:
    return value if isinstance(value, str) else extract_text([value])


_BLANKS = " \t\r\n"


def build_accumulated_sql(table: str) -> str:
    """Return the SQL for the text behind the input in `messages`; null where it is not there."""
    inner = f"substr({table}.input, 2, length({table}.input) - 2)"
    begins = f"'[' || ltrim(rtrim({inner}, '{_BLANKS}'), '{_BLANKS}')"
    whole = f"length({table}.input) > 1 AND substr({table}.messages, 1, length({begins}))"
    text = f"nullif(substr({table}.messages, length({begins}) + 1), ']')"
    return f"CASE WHEN {whole} = {begins} THEN {text} END"


def slice_accumulated(input_: str, messages: str) -> str | None:
    """Return the text behind the input in `messages`; None where it is not there."""
    begins = f"[{input_[1:-1].strip(_BLANKS)}"
    known = len(input_) > 1 and messages.startswith(begins)
    text = messages[len(begins) :] if known else ""
    return None if text in ("", "]") else text


def read_accumulated(text: str | None) -> list[Raw]:
    """Return the items in what `slice_accumulated` gives; none where they can't be read."""
    if text is None:
        return []
    inner = text.strip(_BLANKS).removesuffix("]").lstrip(_BLANKS).removeprefix(",")
    try:
        return jsontext.slice_elements(f"[{inner}]".encode("utf-8", "replace"))
    except jsontext.UnreadableError:
        return []


def complete_output(text: bytes, items: list[Raw]) -> bytes:
    """Return a response object with its accumulated items, where they are more than its output.

    Raises UnreadableError where it is no object.
    """
    members = jsontext.slice_all_members(text)
    output = members.get("output", jsontext.ABSENT)
    chosen = choose_fuller_slices(slice_array(output), items)
    if chosen is not items:
        return text
    return jsontext.encode_object(members | {"output": Raw(jsontext.encode_array(items))})


def choose_fuller_slices(output: list[Raw], items: list[Raw]) -> list[Raw]:
    """Return the items that were accumulated where they hold more than the output does."""
    if not items or list(map(bytes, output)) == list(map(bytes, items)):
        return output
    chosen = choose_fuller(
        [*map(jsontext.decode_value, output)], accumulated := [*map(jsontext.decode_value, items)]
    )
    return items if chosen is accumulated else output


def slice_array(array: jsontext.Text) -> list[Raw]:
    """Return the elements of JSON text; none where it is no array."""
    try:
        return jsontext.slice_elements(array)
    except jsontext.UnreadableError:
        return []
