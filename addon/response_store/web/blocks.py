"""The blocks of an exchange as a page shows them: long texts cut, pictures only when asked for.

An exchange that continues another one is shown with what it adds; its whole request, which may have
everything said before once more, is a click away.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from response_store.errors import StoreError
from response_store.format.conversation import (
    Block,
    BlockBuilder,
    build_blocks,
    build_end,
)
from response_store.format.exchange import Exchanged, read_exchanged
from response_store.format.html import render_block
from response_store.format.transcript import Transcript
from response_store.openai_api.items import ItemReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from response_store.openai_api.item_images import ItemImage
    from response_store.queries.lookup import LookupResult
    from response_store.queries.threads import ThreadLookup

MAX_TEXT = 20_000
"""Characters of a block that are shown at first."""
MAX_BLOCKS = 300
"""Blocks of one exchange that are shown: the last ones."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is shown on a click: which one of a block it is."""

    number: int
    label: str


class LongText(NamedTuple):
    """A text that was cut: that of a block, or of the result of a call with this number."""

    result: str
    length: int


@dataclass(frozen=True, slots=True)
class ShownBlock:
    """A block as HTML, with what can be asked for besides."""

    number: int
    html: Markup
    pictures: tuple[Picture, ...] = ()
    long_texts: tuple[LongText, ...] = ()


def list_blocks(
    entry: LookupResult, parent: LookupResult | None, exchanged: Exchanged | None = None
) -> list[Block]:
    """Return the blocks of an exchange: with its parent given, of what it adds to that.

    `exchanged` is what was read of it before, if it was.
    """
    items = ItemReader()
    before = read_exchanged(parent, items) if parent else None
    own = exchanged or read_exchanged(entry, items)
    return build_new_blocks(entry, own, before) if before else [*build_blocks(entry, own)]


def build_new_blocks(entry: LookupResult, own: Exchanged, before: Exchanged) -> list[Block]:
    """Return the blocks of what an exchange adds to the one before."""
    transcript, builder = Transcript(), BlockBuilder()
    transcript.add(before)
    builder.note_calls([*before.inputs, *before.answered])
    new = transcript.add(own)
    return [*builder.add(new.instructions, new.items), *build_end(entry.exchange, own)]


def find_parent(lookup: ThreadLookup, tenant: str, entry: LookupResult) -> LookupResult | None:
    """Return what an exchange continues, where that is known and stored."""
    row = entry.exchange
    name = row and (row.parent_exchange_id or row.previous_response_id)
    if not name:
        return None
    with suppress(StoreError):  # not stored, or removed since
        parent = lookup.find(tenant, name)
        if parent.exchange and name in (parent.exchange.exchange_id, parent.exchange.response_id):
            return parent
    return None


def show_blocks(blocks: Sequence[Block], start: int = 0) -> list[ShownBlock]:
    """Return blocks as HTML; `start` is the number of the first."""
    return [_show_block(number, block) for number, block in enumerate(blocks, start)]


def list_pictures(block: Block) -> list[ItemImage]:
    """Return the pictures of a block and of its results."""
    return [*block.images, *(image for result in block.results for image in result.images)]


def find_text(block: Block, result: str) -> str:
    """Return the text of a block, or of one of its results by number; empty where it is none."""
    if not result:
        return block.text
    number = int(result) if result.isdecimal() and len(result) < 6 else -1
    return block.results[number].text if 0 <= number < len(block.results) else ""


def _show_block(number: int, block: Block) -> ShownBlock:
    texts = [("", block.text), *((str(at), one.text) for at, one in enumerate(block.results))]
    long_texts = tuple(LongText(at, len(text)) for at, text in texts if len(text) > MAX_TEXT)
    pictures = tuple(
        Picture(at, f"{image.media_type} \u00b7 {_format_size(image)}")
        for at, image in enumerate(list_pictures(block))
    )
    results = tuple(replace(one, text=one.text[:MAX_TEXT], images=()) for one in block.results)
    shown = replace(block, text=block.text[:MAX_TEXT], images=(), results=results)
    return ShownBlock(number, Markup(render_block(shown)), pictures, long_texts)  # noqa: S704


def _format_size(image: ItemImage) -> str:
    return f"{len(image.data) * 3 // 4 / 1024:.0f} KiB"
