"""Walk the items of an API call as labelled turns: what each side contributed, in order.

It is one walk for people (`show`, the content view) and for the search index. Items come as the
APIs define them, but also odd, partial or from other servers: whatever is not as expected is shown
by its type or left out, and nothing here raises. Base64 is never shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from response_store.openai_api.item_kinds import (
    FROM_MODEL,
    REASONING,
    RESULT,
    Turn,
    function_call,
    item_turns,
)
from response_store.openai_api.item_texts import (
    Fields,
    attachment,
    fields_of,
    join,
    list_of,
    name_of,
    refusal_of,
    text_of,
    thoughts_of,
)

_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_text")


@dataclass(frozen=True)
class Item:
    """An item of an input or an output: its turns, and the call that it is of.

    Items are equal that have the same turns of the same call: a client that sends an answer back
    leaves out ids, states, annotations and phases.
    """

    turns: tuple[Turn, ...] = field(compare=False)
    call: str | None = None
    identifier: str | None = field(default=None, compare=False)
    refers: bool = field(default=False, compare=False)  # to the item that has the identifier
    content: tuple[tuple[str, str, str], ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        turns = [turn for turn in self.turns if not turn.aside] or self.turns
        content = tuple((turn.source, turn.name, turn.text) for turn in turns)
        object.__setattr__(self, "content", content)


def turns_of(items: Iterable[Item]) -> list[Turn]:
    """Return the turns of items, in their order."""
    return [turn for item in items for turn in item.turns]


def instructions_of(request: object) -> str:
    """Return the instructions of a request body."""
    return text_of(fields_of(request).get("instructions"))


def request_items(request: object) -> list[Item]:
    """Return the items of a request body: input, prompt or messages. Those without text are not."""
    body = fields_of(request)
    contents = (body.get(name) for name in ("input", "prompt", "messages", "items"))
    items = [item for content in contents for item in input_items(content)]
    with_text = (tuple(t for t in item.turns if t.text or t.name) for item in items)
    return [replace(item, turns=t) for item, t in zip(items, with_text, strict=True) if t]


def response_items(result: object) -> list[Item]:
    """Return the items of an answer: an output, a list of items, or a completion's choices."""
    body = fields_of(result)
    choices = (_choice(fields_of(choice)) for choice in list_of(body.get("choices")))
    listed = body.get("output", body.get("data"))
    return [*_items(listed, "assistant"), *choices]


def input_items(content: object) -> list[Item]:
    """Return the items of an input: a plain text is the user's, an object a stored prompt."""
    if isinstance(content, str):
        return [Item((Turn("user", text_of(content)),))]
    if isinstance(content, dict):
        return [Item((_stored_prompt(content),))]
    return list(_items(content, "user"))


def to_item(value: object, speaker: str) -> Item:
    """Return one item, which is an object or a text of the speaker."""
    if isinstance(value, str):
        return Item((Turn(speaker, text_of(value)),))
    item = fields_of(value)
    return Item(
        turns=tuple(_turns(item, speaker)),
        call=name_of(item.get("call_id")) or None,
        identifier=name_of(item.get("id")) or None,
        refers=item.get("type") == "item_reference",
    )


def is_from_model(item: Fields) -> bool:
    """Return whether an item of an input is one that the model has sent before."""
    kind = str(item.get("type") or "message")
    if kind == "message":
        return item.get("role") == "assistant"
    return kind in FROM_MODEL or kind.endswith("_call")


def fuller(output: list[object], accumulated: list[object]) -> list[object]:
    """Return the output items, or those that were accumulated where they hold more."""
    return accumulated if _weigh(accumulated) > _weigh(output) else output


def _weigh(items: list[object]) -> tuple[int, int]:
    turns = turns_of(_items(items, "assistant"))
    return len(items), sum(len(turn.text) + len(turn.name) for turn in turns)


def _items(items: object, speaker: str) -> Iterator[Item]:
    return (to_item(value, speaker) for value in list_of(items))


def _choice(choice: Fields) -> Item:
    """Return a choice of a completion: a message, or the text alone of the older API."""
    if isinstance(choice.get("text"), str) and not choice.get("message"):
        return to_item(choice["text"], "assistant")
    return to_item(fields_of(choice.get("message")), "assistant")


def _turns(item: Fields, speaker: str) -> Iterable[Turn]:
    kind = str(item.get("type") or ("message" if item else ""))
    if kind == "message":
        return _message(item, speaker)
    return item_turns(kind, item) if kind else ()


def _message(item: Fields, speaker: str) -> Iterator[Turn]:
    if thoughts := _thoughts(item):
        yield Turn(REASONING, thoughts, aside=True)
    role = name_of(item.get("role")) or speaker
    if text := _message_text(item):
        source = RESULT if role in ("tool", "function") else role
        phase = name_of(item.get("phase"))
        title = f"{source} ({phase.replace('_', ' ')})" if phase not in ("", _FINAL) else ""
        yield Turn(source, text, title=title)
    if function := fields_of(item.get("function_call")):  # before there were tools
        yield from function_call(function)
    for call in map(fields_of, list_of(item.get("tool_calls"))):
        yield from function_call(fields_of(call.get("function") or call.get("custom")))
    if sources := _citations(item):
        yield Turn("citations", sources, aside=True)


_FINAL = "final_answer"


def _message_text(item: Fields) -> str:
    spoken = text_of(fields_of(item.get("audio")).get("transcript"))
    images = (attachment(fields_of(image)) for image in list_of(item.get("images")))
    refusal = refusal_of(item.get("refusal"))
    return join((text_of(item.get("content")), spoken, *images, refusal))


def _thoughts(item: Fields) -> str:
    """Return a chat message's reasoning, which each server puts somewhere else."""
    texts = [text_of(item.get(name)) for name in _THOUGHTS if item.get(name)]
    if not texts:
        details = map(fields_of, list_of(item.get("reasoning_details")))
        texts = [text_of(one.get("text") or one.get("summary")) for one in details]
    return join(dict.fromkeys((*texts, thoughts_of(item.get("content")))))


def _citations(item: Fields) -> str:
    """Return where an answer says that it has its knowledge from, each source once."""
    parts = [item, *map(fields_of, list_of(item.get("content")))]
    notes = (note for part in parts for note in list_of(part.get("annotations")))
    return join(dict.fromkeys(_citation(fields_of(note)) for note in notes))


def _citation(note: Fields) -> str:
    inner = fields_of(note.get(name_of(note.get("type")))) or note
    names = ("title", "filename", "url")
    words = [value for name in names if isinstance(value := inner.get(name), str)]
    return " ".join(words) or name_of(inner.get("file_id"))


def _stored_prompt(prompt: Fields) -> Turn:
    version = name_of(prompt.get("version"))
    name = " ".join(filter(None, (name_of(prompt.get("id")), version and f"version {version}")))
    variables = fields_of(prompt.get("variables"))
    lines = (f"{key}: {_variable(value)}" for key, value in variables.items())
    return Turn("prompt", join(lines) or name, name)


def _variable(value: object) -> str:
    return value if isinstance(value, str) else text_of([value])
