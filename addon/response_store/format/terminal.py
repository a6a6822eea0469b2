"""Draw conversations in a terminal: what Rich prints, wrapped at words, in colours for any ground.

What counts is bold or underlined as well as coloured. A word that is wider than the
terminal stays in one piece, so that a URL or an id can be copied: the terminal itself breaks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from response_store.format.bodies import indent_json
from response_store.format.conversation import Block, BlockKind, Conversation, Syntax
from response_store.format.terminal_markdown import draw_markdown
from response_store.format.terminal_text import BLUE, GREEN, PURPLE, RED, WrappedText, colour_code
from response_store.format.text import escape_controls, put_on_one_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from response_store.format.conversation import CallResult, Citation
    from response_store.format.facts import Fact

FOLDED_LINES, FOLDED_CHARACTERS = 8, 600
"""How much of instructions is shown: each request repeats them, and they may be long."""
_INDENT = 2
_HEADING = "bold"
_LABELS = {
    BlockKind.USER: "bold underline",
    BlockKind.ANSWER: f"bold {GREEN}",
    BlockKind.CALL: f"bold {PURPLE}",
    BlockKind.RESULT: f"bold {PURPLE}",
    BlockKind.ERROR: f"bold {RED}",
    BlockKind.CUT_OFF: f"bold {RED}",
}
_LABEL = f"bold {BLUE}"


def draw_head(head: Iterable[Fact], state_style: str) -> WrappedText:
    """Return the line of facts that opens a view; the state has a style."""
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    text = Text()
    for fact in head:
        style = f"bold {state_style}".strip() if fact.name == "state" else ""
        text.append(" \u00b7 " if text else "")
        text.append(put_on_one_line(fact.text), style=style)
    return WrappedText(text)


def draw_beside(conversation: Conversation, *, whole: bool = False) -> list[RenderableType]:
    """Return the tools offered and the settings, a line each, cut at the width but for `whole`."""
    lines: list[RenderableType] = []
    if tools := ", ".join(conversation.tools):
        count = len(conversation.tools)
        lines.append(_draw_fact(f"{count} tool{'s'[: count != 1]}", tools, whole=whole))
    pairs = [f"{name}={value}" for name, value in conversation.settings]
    if pairs:
        lines.append(_draw_fact("settings", " ".join(pairs), whole=whole))
    return lines


def draw_facts(facts: Sequence[tuple[str, str]]) -> list[Text]:
    """Return a line for each fact, which the terminal itself breaks."""
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    width = max((len(name) for name, _ in facts), default=0)
    return [
        Text.assemble(
            (f"{put_on_one_line(name):<{width}}  ", _HEADING),
            put_on_one_line(value),
            overflow="ignore",
            no_wrap=True,
        )
        for name, value in facts
    ]


def draw_blocks(blocks: Iterable[Block], *, whole: bool = False) -> Iterator[RenderableType]:
    """Yield what is printed of each block, an empty line before it.

    Unless it is to be `whole`, of long instructions only the beginning is shown.
    """
    for block in blocks:
        yield _wrap("")
        yield from draw_block(block, whole=whole)


def draw_block(block: Block, *, whole: bool = False) -> Iterator[RenderableType]:
    """Yield a label, then what is under it."""
    yield _wrap(put_on_one_line(block.label), _LABELS.get(block.kind, _LABEL))
    text, more = block.text, 0
    if block.kind is BlockKind.INSTRUCTIONS and not whole:
        text, more = _fold_lines(text)
    if text:
        yield draw_text(text, block.syntax)
    if more:
        yield _wrap(f"\u2026 {more:,} more characters, with -v", "italic")
    for result in block.results:
        yield from _draw_result(result)
    for number, citation in enumerate(block.citations, 1):
        yield _draw_citation(number, citation)


def draw_text(text: str, syntax: Syntax, indent: int = 0) -> RenderableType:
    """Return a text as its syntax wants it; Markdown has no indent."""
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    match syntax:
        case Syntax.MARKDOWN:
            return draw_markdown(text)
        case Syntax.JSON:
            return WrappedText(colour_code(indent_json(text), "json"), indent)
        case Syntax.PLAIN:
            return WrappedText(Text(escape_controls(text).rstrip("\n")), indent)
        case _:
            language = "bash" if syntax is Syntax.SHELL else syntax.value
            return WrappedText(colour_code(text, language), indent)


def _draw_result(result: CallResult) -> Iterator[RenderableType]:
    label, style = ("error", f"bold {RED}") if result.is_error else ("result", _LABEL)
    yield _wrap(label, style, _INDENT)
    if result.text:
        yield draw_text(result.text, result.syntax, _INDENT)


def _draw_citation(number: int, citation: Citation) -> WrappedText:
    return _wrap(f"[{number}] {put_on_one_line(' '.join(filter(None, citation)))}")


def _draw_fact(name: str, value: str, *, whole: bool) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    text = Text.assemble((f"{name}: ", _HEADING), put_on_one_line(value))
    if whole:
        return WrappedText(text)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _fold_lines(text: str) -> tuple[str, int]:
    """Return the beginning of a text, and how many characters were left out."""
    lines = text.splitlines(keepends=True)[:FOLDED_LINES]
    beginning = "".join(lines)[:FOLDED_CHARACTERS]
    left_out = len(text) - len(beginning)
    if left_out < FOLDED_CHARACTERS // 2:
        return text, 0
    return beginning.rstrip("\n"), left_out


def _wrap(text: str, style: str = "", indent: int = 0) -> WrappedText:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    return WrappedText(Text(text, style=style), indent)


@cache
def list_styles() -> tuple[str, ...]:
    """Return every style that is used here, for a look at all of them."""
    return (*_LABELS.values(), _LABEL, _HEADING)
