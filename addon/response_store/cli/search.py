"""`response-store search`: exchanges by the words in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from response_store.backends.registry import open_index
from response_store.cli import output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.list import build_object, choose_identifier
from response_store.cli.options import add_selection_options, limit_option
from response_store.cli.output import LABEL, choose_style
from response_store.cli.progress import resumable_on_interrupt, show_progress
from response_store.cli.source import (
    Source,
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    note,
    tenant_option,
)
from response_store.errors import StoreError
from response_store.format.text import NONE, escape_controls, format_time, put_on_one_line
from response_store.limits import NAME, shorten_name
from response_store.search.index import count_unindexed, index_missing
from response_store.search.query import Hit, SearchResult, is_searchable, search
from response_store.search.tokenizer import Term, parse_terms

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console
    from rich.text import Text

    from response_store.model.selection import Selection
    from response_store.pricing.prices import Prices
    from response_store.queries.reader import Reader

DEFAULT_LIMIT = 20
MAX_LIMIT = 1_000
_NO_WORDS = (
    "Nothing to look for: a search takes words with letters or digits. Marks alone are not indexed."
)

HELP = """Search requests and answers, best hits first.

Finds exchanges that have all WORDS: in the answer, in tool calls and their results, in the user's
text, or in the error. Case and accents are ignored. An argument of several words is a phrase. A
word that ends in * matches all words that begin so. Parts of snake_case, camelCase and paths are
words too; in Chinese, Japanese, Korean and Thai any part of a sentence is found. Put -- before
words that look like options.

Exchanges that no proxy has indexed yet are indexed first, if this command may write to the
database.

A terminal shows each hit with the text around the words. A pipe gets a line for each hit, with
tabs between time, state, model, id, where the words are, and the text around them.

\b
Examples:
  response-store search timeout retry
  response-store search "connection refused" --since yesterday
  response-store search 'getUser*' --model 'gpt-5*' --json
  response-store search 天气
  response-store search -- --no-verify
"""


@click.command("search", help=HELP)
@click.argument("words", nargs=-1, required=True)
@config_option
@database_option
@tenant_option
@add_selection_options
@limit_option(maximum=MAX_LIMIT, default=DEFAULT_LIMIT)
@json_option
def search_command(
    *,
    words: tuple[str, ...],
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    selection: Selection,
    limit: int,
    as_json: bool,
) -> None:
    """Search what was asked and answered, the best hits first."""
    looked_for = parse_terms(words)
    if not looked_for:
        raise click.UsageError(_NO_WORDS)
    with handle_errors():
        source = find_source(config, database, tenant)
        apply_journals(source)
        with source.open() as query:
            chosen = source.resolve(query.reader, selection)
            answer = _answer(source, query.reader, looked_for, chosen, limit)
        _write(answer, source.load_prices(), as_json)


def _answer(
    source: Source, reader: Reader, looked_for: Sequence[Term], chosen: Selection, limit: int
) -> SearchResult:
    unindexed = count_unindexed(reader.rows)
    why_not = _index_missing(source, reader, unindexed)
    if why_not is not None and not is_searchable(reader):
        raise why_not
    answer = search(reader, looked_for, chosen, limit, unindexed=None if unindexed else 0)
    if answer.unindexed and why_not is not None:
        several = (
            "1 exchange is" if answer.unindexed == 1 else f"{answer.unindexed:,} exchanges are"
        )
        note(f"Note: {several} not indexed, so not searched. {why_not}")
    return answer


def _index_missing(source: Source, reader: Reader, unindexed: int) -> StoreError | None:
    """Index what is missing; return the error where that fails, else None."""
    if not unindexed and is_searchable(reader):
        return None
    try:
        index = open_index(source.target, source.tables)
        try:
            with _note_how_to_go_on(), show_progress(unindexed, "indexing") as shown:
                for _ in index_missing(index):
                    shown.advance()
        finally:
            index.close()
    except StoreError as error:
        return error
    return None


def _note_how_to_go_on() -> AbstractContextManager[None]:
    return resumable_on_interrupt("What is indexed stays; the same search goes on from there.")


def _write(answer: SearchResult, prices: Prices, as_json: bool) -> None:
    if as_json:
        output.write_json(build_json_object(answer, prices))
    elif output.is_terminal():
        print_hits(output.open_terminal(), answer)
    else:
        output.write_text(format_plain(answer.hits))


def build_json_object(answer: SearchResult, prices: Prices) -> dict[str, object]:
    """Return one JSON object: `hits`, how many in `total`, how many are `not_indexed`."""
    objects = (_build_hit_object(hit, prices) for hit in answer.hits)
    hits = [msgspec.Raw(output.encode_object(one)) for one in objects]
    return {"hits": hits, "total": answer.total, "not_indexed": answer.unindexed}


def _build_hit_object(hit: Hit, prices: Prices) -> dict[str, object]:
    columns = build_object(hit.summary, prices)
    del columns[_START]
    snippet = hit.snippet
    return columns | {
        "score": hit.score,
        "where": snippet.label if snippet else None,
        "snippet": snippet.text if snippet else None,
        "marks": snippet.marks if snippet else [],
    }


_START = "output_start"


def format_plain(hits: Sequence[Hit]) -> str:
    """Return a line a hit, tabs between the columns."""
    return "".join("\t".join(_list_fields(hit)) + "\n" for hit in hits)


def _list_fields(hit: Hit) -> tuple[str, ...]:
    one, snippet = hit.summary, hit.snippet
    return (
        format_time(one.started_at),
        put_on_one_line(one.state),
        put_on_one_line(shorten_name(one.model or one.requested_model or NONE)),
        put_on_one_line(shorten_name(choose_identifier(one), NAME)),
        snippet.label if snippet else NONE,
        escape_controls(snippet.text.strip()) if snippet else NONE,
    )


_FOUND = "reverse"
_INDENT = (0, 0, 0, 2)
NOTHING = "No exchange has all of these words. Try fewer, or the beginning of one: 'begin*'."


def print_hits(console: Console, answer: SearchResult) -> None:
    """Print a line that names the exchange, which the terminal itself wraps; then the snippet."""
    from rich.padding import Padding  # noqa: PLC0415 (slow to load)
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    if not answer.hits:
        console.print(NOTHING, soft_wrap=True)
        return
    for hit in answer.hits:
        console.print(_build_heading(hit), soft_wrap=True)
        if hit.snippet is not None:
            console.print(Padding(_highlight(hit), _INDENT))
        console.print()
    console.print(Text(_count(answer), style="italic"), soft_wrap=True)


def _build_heading(hit: Hit) -> Text:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    one = hit.summary
    return Text.assemble(
        (format_time(one.started_at, "%m-%d %H:%M"), "bold"),
        "  ",
        (put_on_one_line(one.state), choose_style(one.state)),
        "  ",
        put_on_one_line(one.model or one.requested_model or NONE),
        "  ",
        (put_on_one_line(choose_identifier(one)), "bold"),
    )


def _highlight(hit: Hit) -> Text:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    assert hit.snippet is not None, "asked for where there is one"
    text = Text.assemble((hit.snippet.label, LABEL), "  ")
    for fragment, is_match in hit.snippet.fragments:
        text.append(escape_controls(fragment), style=_FOUND if is_match else None)
    return text


def _count(answer: SearchResult) -> str:
    shown = len(answer.hits)
    if shown == answer.total:
        return "1 hit" if shown == 1 else f"{shown} hits"
    return f"{shown} of {answer.total:,} hits, the best first; more with --limit"
