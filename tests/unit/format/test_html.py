"""Conversations as HTML."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from response_store.format.conversation import (
    Block,
    BlockKind,
    CallResult,
    Citation,
    Conversation,
    Syntax,
)
from response_store.format.facts import Fact
from response_store.format.html import (
    MAX_HIGHLIGHTED,
    choose_title,
    highlight,
    render_beside,
    render_block,
    render_blocks,
    render_head,
    render_markdown,
    render_page,
    render_text,
)
from response_store.openai_api.item_images import ItemImage
from tests.fakes.item_kinds import CODED
from tests.harness.each import each

ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[2J\u202e</style></title>"
ALLOWED = frozenset(
    "html head meta title style body h1 h2 h3 p div span section details summary dl dt dd ol li ul"
    " a img pre code table thead tbody tr th td strong em br hr s blockquote".split()
)


class Checked(HTMLParser):
    """Reads a page as browsers do, and refuses what no page of ours has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        assert tag in ALLOWED, tag
        assert not {name for name in names if name.startswith("on") or name == "style"}
        if tag == "img":
            assert str(names["src"]).startswith("data:image/png;base64,")
        if tag == "a":
            self.links.append(names)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("syntax", list(Syntax))
@each("kind", list(BlockKind))
def test_whatever_is_captured_is_text(kind: BlockKind, syntax: Syntax) -> None:
    """No text becomes an element, an attribute or a control character, wherever it stands."""
    result = CallResult(ATTACK, syntax, is_error=True)
    citation = Citation(ATTACK, f"https://x.example/{ATTACK}")
    block = Block(kind, ATTACK, ATTACK, syntax, ATTACK, (result,), (), (citation,))
    conversation = Conversation((block,), (ATTACK,), ((ATTACK, ATTACK),))
    page = render_page(
        ATTACK,
        [
            render_head([Fact("state", ATTACK), Fact("model", ATTACK)]),
            render_beside(conversation, [(ATTACK, ATTACK)]),
            render_blocks(conversation.blocks),
        ],
    )
    checked = Checked(page)
    assert not set(page) & {"\x1b", "\u202e"}
    assert checked.text.count("<script>alert(1)</script>") >= 7
    assert page.count("</style>") == page.count("</title>") == 1


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**b** _i_ `c` ~~s~~", "<p><strong>b</strong> <em>i</em> <code>c</code> <s>s</s></p>"),
        ("a\nb", "<p>a<br />\nb</p>"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>"),
        ("![x](https://evil.example/a.png)", "<p>![x](https://evil.example/a.png)</p>"),
        ("[a](javascript:alert)", "<p>[a](javascript:alert)</p>"),
        ("[a](/stats)", "<p>[a](/stats)</p>"),
        ("&#x202e;&#x200b;", "<p>\\u202e\\u200b</p>"),
        ("|a|\n|-:|\n|1|", "<th>a</th>"),
    ],
)
def test_markdown(text: str, html: str) -> None:
    """Markdown becomes HTML; its HTML, its pictures and its odd links stay text."""
    assert html in render_markdown(text).strip()
    Checked(render_markdown(text))


def test_links_tell_nobody_where_they_were() -> None:
    """Links in answers and in citations have no referrer, and go to web pages."""
    citations = (Citation("A", "https://a.example"), Citation("b.md", "file_1"))
    block = Block(BlockKind.ANSWER, "assistant", "[t](https://b.example/?a=1&b=2)",
                  Syntax.MARKDOWN, citations=citations)  # fmt: skip
    html = render_block(block)
    links = Checked(html).links
    assert [link["href"] for link in links] == ["https://b.example/?a=1&b=2", "https://a.example"]
    assert {link["rel"] for link in links} == {"noreferrer noopener"}
    assert "<li>b.md file_1</li>" in html


def test_a_long_text_is_no_markdown() -> None:
    """What takes long to read as Markdown, or to colour, is text as it stands."""
    for text in ("a" * 100_001, "[" * 1000, "**<b>" * 30_000):
        assert render_markdown(text).startswith('<p class="plain">')
    assert "<span" not in highlight("1" * (MAX_HIGHLIGHTED + 1), "python")
    assert highlight("<b>", "unknown") == "&lt;b&gt;"


def test_code_has_colours() -> None:
    """Code in an answer, JSON of a call, commands and diffs have their kinds of words marked."""
    assert '<span class="h-k">def</span>' in render_markdown("```python\ndef f(): ...\n```")
    assert 'class="h-nt">"a"</span>' in unescape(render_text('{"a":1.50}', Syntax.JSON))
    assert '<span class="h-gi">+new' in render_text("+new", Syntax.DIFF)
    assert "1.50" in render_text('{"a":1.50}', Syntax.JSON)


def test_what_is_long_is_folded() -> None:
    """Short calls are open, long ones have a line that says how they begin; answers never fold."""
    short = Block(BlockKind.CALL, "tool call f", "{}", Syntax.JSON, "f", (CallResult("x"),))
    assert render_block(short).startswith('<details class="block call" open>')
    long = Block(BlockKind.CALL, "tool call f", "y" * 1000, results=(CallResult("x"),))
    assert render_block(long).startswith('<details class="block call"><summary>tool call f <span')
    assert f"{'y' * 120}…</span>" in render_block(long)
    assert "<details" not in render_block(Block(BlockKind.ANSWER, "assistant", "z" * 5000))


def test_pictures_stand_in_the_page() -> None:
    """A picture that was captured is drawn from the page itself."""
    block = Block(BlockKind.USER, "user", "", images=(ItemImage("image/png", CODED),))
    assert f'<img src="data:image/png;base64,{CODED}" alt="image/png">' in render_block(block)


def test_a_page_allows_nothing_but_itself() -> None:
    """The policy names the style by its digest and allows pictures in the page, nothing else."""
    page = render_page("t", [])
    (policy,) = re.findall(r'Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert not re.search(r"(?i)<script|<link|url\(|@import|http://|https://", page)


def test_the_title_is_the_question() -> None:
    """A page is named by the last thing the user has said, else as its caller wants."""
    blocks: Any = [Block(BlockKind.USER, "user", text) for text in ("old", "What\nnow? " * 50, " ")]
    assert choose_title(Conversation((*blocks,)), "x").startswith("What now? What now?")
    assert len(choose_title(Conversation((*blocks,)), "x")) == 81
    assert choose_title(Conversation(()), "resp_1") == "resp_1"


def test_facts_beside_a_conversation() -> None:
    """Tools and settings stand in a line each, all facts are folded, an empty head is none."""
    html = render_beside(
        Conversation((), ("a", "b"), (("temperature", "0.5"), ("stream", "true"))), [("id", "r1")]
    )
    assert "2 tools: a, b" in html
    assert "settings: temperature=0.5, stream=true" in html
    assert "<dt>id</dt><dd>r1</dd>" in html
    assert render_beside(Conversation(()), []) == ""
    assert 'class="state completed">completed<' in render_head([Fact("state", "completed")])
