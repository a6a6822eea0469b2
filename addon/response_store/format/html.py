"""Draw conversations as HTML: fragments for any page, and one whole page to share.

Everything captured is escaped, and its control characters and marks of direction are made visible
before. There are no scripts and no styles of single elements; nothing is loaded: what is long is
folded by `details`, pictures stand in the page itself, and links tell nobody where they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from response_store.format.bodies import indent_json
from response_store.format.conversation import (
    Block,
    BlockBuilder,
    BlockKind,
    CallResult,
    Conversation,
    Syntax,
)
from response_store.format.html_style import STYLE, build_policy
from response_store.format.markdown import is_web_url, open_parser, parse_markdown
from response_store.format.text import escape_controls, put_on_one_line
from response_store.format.transcript import ThreadSums, describe_continued, list_sections

if TYPE_CHECKING:
    from pygments.formatter import Formatter

    from response_store.format.conversation import Citation
    from response_store.format.facts import Fact
    from response_store.openai_api.item_images import ItemImage
    from response_store.pricing.prices import Prices
    from response_store.queries.threads import Thread

MAX_HIGHLIGHTED = 50_000
"""Characters of code that get colours."""
_UNFOLDED = 600  # characters of a block that is not folded
_MAX_PREVIEW = 120
_MAX_TITLE = 80
_LANGUAGES = frozenset(
    "bash c c++ cpp cs css diff go html ini java javascript js json jsx kotlin lua php py python rb"
    " ruby rust sh sql swift toml ts tsx typescript xml yaml yml zsh".split()
)
_FOLDED = (BlockKind.INSTRUCTIONS, BlockKind.REASONING, BlockKind.CALL, BlockKind.RESULT,
           BlockKind.NOTE)  # fmt: skip


def escape_html(text: str) -> str:
    """Return captured text as HTML, its control characters visible."""
    return escape(escape_controls(text))


def render_markdown(text: str) -> str:
    """Return Markdown as HTML: no HTML of its own, no pictures, links to web pages only."""
    tokens = parse_markdown(text)
    if tokens is None:
        return f'<p class="plain">{escape_html(text)}</p>'
    from markdown_it.utils import OptionsDict  # noqa: PLC0415 (slow to load)

    parser = open_parser()
    options = OptionsDict({**parser.options, "highlight": _highlight_fence})  # type: ignore[typeddict-item]
    html: str = parser.renderer.render(tokens, options, {})
    return html


def render_text(text: str, syntax: Syntax = Syntax.PLAIN) -> str:
    """Return a text as HTML, as its syntax wants it."""
    if syntax is Syntax.MARKDOWN:
        return render_markdown(text)
    if syntax is Syntax.JSON:
        return f"<pre><code>{highlight(escape_controls(indent_json(text)), 'json')}</code></pre>"
    if syntax is not Syntax.PLAIN:
        language = "bash" if syntax is Syntax.SHELL else syntax.value
        return f"<pre><code>{highlight(escape_controls(text), language)}</code></pre>"
    return f'<p class="plain">{escape_html(text)}</p>'


def highlight(code: str, language: str) -> str:
    """Return code as HTML, with a class `h-...` for each kind of word; safe text is given."""
    if language.lower() not in _LANGUAGES or len(code) > MAX_HIGHLIGHTED:
        return escape(code)
    from pygments import highlight as colour  # noqa: PLC0415 (slow to load)
    from pygments.lexers import get_lexer_by_name  # noqa: PLC0415

    lexer = get_lexer_by_name(language.lower(), stripnl=False)
    coloured: str = colour(code, lexer, _build_formatter())
    return coloured.rstrip("\n") if not code.endswith("\n") else coloured


@cache  # it takes longer to make than a call to colour
def _build_formatter() -> Formatter[str]:
    from pygments.formatters import HtmlFormatter  # noqa: PLC0415 (slow to load)

    return HtmlFormatter(nowrap=True, classprefix="h-")


def _highlight_fence(code: str, language: str, _: str) -> str:
    return highlight(code, language)


def render_blocks(blocks: Iterable[Block]) -> str:
    """Return blocks as HTML, one after the other."""
    return "\n".join(map(render_block, blocks))


def render_block(block: Block) -> str:
    """Return a block as HTML: a section, or folded where it is long and not what was said."""
    kind = block.kind.replace(" ", "-")
    label = escape_html(put_on_one_line(block.label))
    body = _render_body(block)
    if block.kind not in _FOLDED:
        return f'<section class="block {kind}"><h2>{label}</h2>{body}</section>'
    length = len(block.text) + sum(len(result.text) for result in block.results)
    is_open = " open" if length <= _UNFOLDED else ""
    preview = escape_html(_shorten(block.text, _MAX_PREVIEW))
    summary = f'<summary>{label} <span class="preview">{preview}</span></summary>'
    return f'<details class="block {kind}"{is_open}>{summary}{body}</details>'


def _render_body(block: Block) -> str:
    text = _render_if_any(block.text, block.syntax, block.images)
    results = "".join(map(_render_result, block.results))
    return f"{text}{results}{_render_citations(block.citations)}"


def _render_if_any(text: str, syntax: Syntax, images: Sequence[ItemImage]) -> str:
    inner = (render_text(text, syntax) if text else "") + "".join(map(_render_image, images))
    return f'<div class="text" dir="auto">{inner}</div>' if inner else ""


def _render_image(image: ItemImage) -> str:
    return f'<img src="{escape(image.url)}" alt="{escape(image.media_type)}">'


def _render_result(result: CallResult) -> str:
    label, kind = ("error", " error") if result.is_error else ("result", "")
    body = _render_if_any(result.text, result.syntax, result.images)
    return f'<div class="result{kind}"><h3>{label}</h3>{body}</div>'


def _render_citations(citations: Sequence[Citation]) -> str:
    items = "".join(f"<li>{_render_citation(citation)}</li>" for citation in citations)
    return f'<ol class="citations">{items}</ol>' if items else ""


def _render_citation(citation: Citation) -> str:
    title, target = map(escape_html, citation)
    if not is_web_url(citation.target):
        return f"{title} {target}".strip()
    link = f'<a href="{target}" rel="noreferrer noopener">{title or target}</a>'
    return f"{link} {target}" if title else link


def render_head(head: Iterable[Fact]) -> str:
    """Return the line of facts that opens a view."""
    parts = (
        f'<span class="{escape(fact.name)}{_name_state(fact)}">{escape_html(fact.text)}</span>'
        for fact in head
    )
    return f'<p class="head">{" ".join(parts)}</p>'


def _name_state(fact: Fact) -> str:
    return f" {escape(fact.text.split()[0])}" if fact.name == "state" and fact.text.strip() else ""


def render_beside(conversation: Conversation, facts: Iterable[tuple[str, str]]) -> str:
    """Return what is shown next to a conversation, folded: tools, settings, and all facts."""
    parts = []
    if conversation.tools:
        names = escape_html(put_on_one_line(", ".join(conversation.tools)))
        parts.append(f'<p class="aside">{len(conversation.tools)} tools: {names}</p>')
    if conversation.settings:
        pairs = ", ".join(f"{name}={value}" for name, value in conversation.settings)
        parts.append(f'<p class="aside">settings: {escape_html(put_on_one_line(pairs))}</p>')
    rows = "".join(
        f"<dt>{escape_html(name)}</dt><dd>{escape_html(put_on_one_line(value))}</dd>"
        for name, value in facts
    )
    if rows:
        parts.append(
            f'<details class="aside"><summary>all facts</summary><dl>{rows}</dl></details>'
        )
    return "".join(parts)


def render_thread(thread: Thread, prices: Prices | None = None) -> Iterator[str]:
    """Yield the exchanges of a thread as HTML. Only while the lookup's snapshot lasts."""
    if thread.continues is not None:
        yield f'<p class="head">{escape_html(describe_continued(thread))}</p>'
    sums, builder = ThreadSums(prices), BlockBuilder()
    for section in list_sections(thread):
        sums.add(section)
        heading = " \u00b7 ".join(section.heading)
        yield f'<h2 class="exchange head">{escape_html(heading)}</h2>'
        yield render_blocks(builder.add(section.new.instructions, section.new.items))
        for turn in section.branches:
            yield f'<p class="aside plain">{escape_html(turn.label)}\n{escape_html(turn.text)}</p>'
    yield f"<footer>{escape_html(', '.join(sums.format()))}</footer>"


def choose_title(conversation: Conversation, otherwise: str) -> str:
    """Return what a page is called: how the last thing begins that the user has said."""
    texts = (block.text for block in reversed(conversation.blocks) if block.kind is BlockKind.USER)
    return _shorten(next(filter(str.strip, texts), ""), _MAX_TITLE) or otherwise


def render_page(title: str, parts: Iterable[str]) -> str:
    """Return a whole page that needs nothing else, of fragments that are HTML already."""
    name = escape_html(put_on_one_line(title))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{build_policy()}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{name}</h1>
{"".join(f"{part}{chr(10)}" for part in parts)}</body>
</html>
"""


def _shorten(text: str, limit: int) -> str:
    line = put_on_one_line(text[: limit * 4])
    return line if len(line) <= limit and len(text) <= limit * 4 else f"{line[:limit]}\u2026"
