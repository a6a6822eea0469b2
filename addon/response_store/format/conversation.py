"""Turn an exchange into blocks: what each side contributed, in order, ready to be drawn.

A terminal, a file of HTML and a web page draw the same blocks. A block has the text as it was
captured: whoever draws it makes it safe for where it goes. `syntax` says how a text is to be read.
What people and programs write is plain, as Markdown would change it; what a model writes is
Markdown, unless it is JSON.

A call is one block with its results, wherever these stand behind it. The result of a call that an
earlier exchange has brought is a block of its own, which has the call's name where that is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from response_store.format.bodies import is_json
from response_store.format.exchange import Exchanged, read_exchanged
from response_store.format.settings import list_settings, list_tools
from response_store.model.records import State
from response_store.openai_api.item_images import ItemImage, find_images
from response_store.openai_api.item_kinds import (
    CALL,
    CITATIONS,
    ERROR,
    REASONING,
    RESULT,
    LabelledTurn,
)
from response_store.openai_api.item_texts import as_fields, as_list, as_name
from response_store.openai_api.items import TurnItem

if TYPE_CHECKING:
    from response_store.model.records import ExchangeRow
    from response_store.queries.lookup import LookupResult


class BlockKind(StrEnum):
    """Who or what a block is of. `NOTE` is whatever else the API has items for."""

    INSTRUCTIONS = "instructions"
    USER = "user"
    REASONING = "reasoning"
    CALL = "call"
    RESULT = "result"
    ANSWER = "answer"
    CITATIONS = "citations"
    ERROR = "error"
    CUT_OFF = "cut off"
    NOTE = "note"


class Syntax(StrEnum):
    """How a text is to be read."""

    PLAIN = "plain"
    MARKDOWN = "markdown"
    JSON = "json"
    DIFF = "diff"
    PYTHON = "python"
    SHELL = "shell"


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came of a call: a text, and pictures."""

    text: str
    syntax: Syntax = Syntax.PLAIN
    is_error: bool = False
    images: tuple[ItemImage, ...] = ()


class Citation(NamedTuple):
    """What an answer refers to: its title or file's name, and its URL or file's id."""

    title: str
    target: str


@dataclass(frozen=True, slots=True)
class Block:
    """One thing that was said or done. `label` is what stands above it.

    `name` is that of a tool; `results` are those of a call, `citations` those of an answer.
    """

    kind: BlockKind
    label: str
    text: str
    syntax: Syntax = Syntax.PLAIN
    name: str = ""
    results: tuple[CallResult, ...] = ()
    images: tuple[ItemImage, ...] = ()
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """An exchange as blocks, with the tools that it offered, and its settings."""

    blocks: tuple[Block, ...]
    tools: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()


def build_conversation(entry: LookupResult) -> Conversation:
    """Return what is stored of an exchange, or of a response alone, as a conversation."""
    exchanged = read_exchanged(entry)
    known = exchanged.request or exchanged.answer
    return Conversation(
        blocks=build_blocks(entry, exchanged),
        tools=list_tools(known),
        settings=list_settings(exchanged.request),
    )


def build_blocks(entry: LookupResult, exchanged: Exchanged) -> tuple[Block, ...]:
    """Return the blocks of all that was said in an exchange."""
    items = [*exchanged.inputs, *exchanged.answered]
    blocks = BlockBuilder().add(exchanged.instructions, items)
    return (*blocks, *build_end(entry.exchange, exchanged))


def find_answer(conversation: Conversation) -> str:
    """Return the text of the answer alone: what was said behind the last thing that was asked."""
    texts: list[str] = []
    for block in conversation.blocks:
        if block.kind in (BlockKind.USER, BlockKind.RESULT, BlockKind.INSTRUCTIONS):
            texts = []
        elif block.kind is BlockKind.ANSWER:
            texts.append(block.text)
    return "\n\n".join(texts)


class BlockBuilder:
    """Builds the blocks of one exchange, or of exchanges that follow one another."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # of calls, by their ids

    def note_calls(self, items: Iterable[TurnItem]) -> None:
        """Keep the names of calls, for results that come later."""
        for item in items:
            for turn in item.turns:
                call_id = turn.call or item.call
                if turn.source == CALL and call_id:
                    self._names[call_id] = turn.name

    def add(self, instructions: str, items: Iterable[TurnItem]) -> list[Block]:
        """Return the blocks of the next items."""
        blocks: list[Block] = []
        calls: dict[str, int] = {}  # where the block of a call is
        if instructions:
            blocks.append(Block(BlockKind.INSTRUCTIONS, "instructions", instructions))
        for item in items:
            self._add_item(item, blocks, calls)
        return blocks

    def _add_item(self, item: TurnItem, blocks: list[Block], calls: dict[str, int]) -> None:
        images = find_images(item.fields)
        open_call = _find_open_call(blocks)
        for turn in item.turns:
            call_id = turn.call or item.call or ""
            if turn.source in (RESULT, ERROR):
                result = _build_result(turn, images)
                at = calls.get(call_id) if call_id else open_call
                if at is not None:
                    blocks[at] = replace(blocks[at], results=(*blocks[at].results, result))
                else:
                    blocks.append(_build_lone_result(turn, result, self._names.get(call_id, "")))
                images = ()
            elif turn.source == CITATIONS:
                _add_citations(blocks, list_citations(item), turn)
            else:
                shown = () if turn.source == REASONING else images
                blocks.append(_build_block(turn, as_name(item.fields.get("type")), shown))
                images = images if turn.source == REASONING else ()
                if turn.source == CALL:
                    open_call = len(blocks) - 1
                    if call_id:
                        calls[call_id] = open_call
                        self._names[call_id] = turn.name


def build_end(row: ExchangeRow | None, exchanged: Exchanged) -> list[Block]:
    """Return what is to be said of the end: an error, or why the answer is not whole."""
    blocks = []
    error = as_fields(exchanged.answer.get("error"))
    words = [as_name(error.get("code")), as_name(error.get("message"))]
    if row is not None and (row.error_code or row.error_message):
        words = [row.error_code or "", row.error_message or ""]
    if any(words):
        text = ": ".join(filter(None, words))
        blocks.append(Block(BlockKind.ERROR, "error", text))
    is_explained = bool(blocks) and row is not None and row.state in (State.REFUSED, State.FAILED)
    if row is not None and row.state != State.COMPLETED and not is_explained:
        blocks.append(Block(BlockKind.CUT_OFF, _explain_end(row, exchanged), ""))
    return blocks


def _explain_end(row: ExchangeRow, exchanged: Exchanged) -> str:
    details = as_fields(exchanged.answer.get("incomplete_details"))
    ended = f"ended by {row.ended_by}" if row.ended_by else ""
    reason = as_name(details.get("reason"))
    return ", ".join(filter(None, (row.state.replace("_", " "), reason, ended)))


def list_citations(item: TurnItem) -> tuple[Citation, ...]:
    """Return what a message refers to, each source once."""
    parts = [item.fields, *map(as_fields, as_list(item.fields.get("content")))]
    notes = (as_fields(note) for part in parts for note in as_list(part.get("annotations")))
    citations = (
        _read_citation(as_fields(note.get(as_name(note.get("type")))) or note) for note in notes
    )
    return tuple(dict.fromkeys(citation for citation in citations if any(citation)))


def _read_citation(note: object) -> Citation:
    fields = as_fields(note)
    title = as_name(fields.get("title")) or as_name(fields.get("filename"))
    return Citation(title, as_name(fields.get("url")) or as_name(fields.get("file_id")))


def _add_citations(
    blocks: list[Block], citations: tuple[Citation, ...], turn: LabelledTurn
) -> None:
    if blocks and blocks[-1].kind is BlockKind.ANSWER:
        blocks[-1] = replace(blocks[-1], citations=citations)
    else:
        block = Block(BlockKind.CITATIONS, turn.label, turn.text, citations=citations)
        blocks.append(block)


def _find_open_call(blocks: Sequence[Block]) -> int | None:
    """Return where the last block is a call without a result: what has no id may belong to it."""
    last = len(blocks) - 1
    is_open = blocks and blocks[last].kind is BlockKind.CALL and not blocks[last].results
    return last if is_open else None


_KINDS = {
    "system": BlockKind.INSTRUCTIONS,
    "developer": BlockKind.INSTRUCTIONS,
    "instructions": BlockKind.INSTRUCTIONS,
    "user": BlockKind.USER,
    "assistant": BlockKind.ANSWER,
    REASONING: BlockKind.REASONING,
    CALL: BlockKind.CALL,
}
_SYNTAXES = {
    "apply_patch_call": Syntax.DIFF,
    "code_interpreter_call": Syntax.PYTHON,
    "local_shell_call": Syntax.SHELL,
    "shell_call": Syntax.SHELL,
}
_PATCHES = ("*** Begin Patch", "diff --git ", "--- a/", "Index: ")


def _build_block(turn: LabelledTurn, kind: str, images: tuple[ItemImage, ...]) -> Block:
    block_kind = _KINDS.get(turn.source, BlockKind.NOTE)
    syntax = _SYNTAXES.get(kind) or guess_syntax(turn.text)
    if syntax is Syntax.PLAIN and block_kind in (BlockKind.ANSWER, BlockKind.REASONING):
        syntax = Syntax.MARKDOWN
    return Block(block_kind, turn.label, turn.text, syntax, turn.name, images=images)


def _build_result(turn: LabelledTurn, images: tuple[ItemImage, ...]) -> CallResult:
    return CallResult(turn.text, guess_syntax(turn.text), turn.source == ERROR, images)


def _build_lone_result(turn: LabelledTurn, result: CallResult, name: str) -> Block:
    kind = BlockKind.ERROR if result.is_error else BlockKind.RESULT
    label = f"{turn.label} {name}" if name and not turn.name else turn.label
    return Block(kind, label, result.text, result.syntax, name or turn.name, images=result.images)


def guess_syntax(text: str) -> Syntax:
    """Return how a text of a tool or a model is to be read, by its beginning and its end."""
    if text.startswith(_PATCHES):
        return Syntax.DIFF
    inner = text.strip()
    if (inner[:1], inner[-1:]) in (("{", "}"), ("[", "]")) and is_json(inner):
        return Syntax.JSON
    return Syntax.PLAIN
