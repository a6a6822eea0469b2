"""What `show --thread` says: a thread as one conversation, or as a list of JSON objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from response_store.cli import output
from response_store.cli.transcript import Transcript
from response_store.openai_api.item_kinds import LabelledTurn
from response_store.store.threads import find_thread
from response_store.telling import shown
from response_store.telling.figures import NONE, format_time
from response_store.telling.printable import escape_controls, escape_json, put_on_one_line
from response_store.telling.tokens import Tokens, count_tokens, sum_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from response_store.store.lookup import LookupResult
    from response_store.store.query import Query
    from response_store.store.threads import Thread, ThreadNode

BRANCHES = 10  # that are named where responses part


class Section(NamedTuple):
    """One response of a thread: the columns of its line, and the turns that are new."""

    heading: tuple[str, ...]
    state: str
    turns: list[LabelledTurn]
    tokens: Tokens


def show_thread(query: Query, tenant: str, identifier: str, as_json: bool) -> None:
    """Print the thread that an identifier is of. Raises StoreError."""
    with query.snapshot() as lookup:
        thread = find_thread(lookup, tenant, identifier)
        if as_json:
            _write_json(thread)
        elif output.is_terminal():
            from response_store.cli.thread_view import show  # noqa: PLC0415 (rich only here)

            show(output.open_terminal(), thread)
        else:
            for text in format_plain(thread):
                output.write_text(text)


def _write_json(thread: Thread) -> None:
    """Print the list of the objects that `show --json` prints, in order, each on a new line."""
    before = b"["
    for node in thread.nodes():
        data = output.encode_object(shown.build_object(node.entry))
        if output.is_terminal():
            data = escape_json(data.decode("utf-8", "replace")).encode()
        output.write_bytes(before + data)
        before = b",\n"
    output.write_bytes(b"]\n")


def format_plain(thread: Thread) -> Iterator[str]:
    """Yield a line with tabs for each response, then what is new in it under its speaker."""
    if thread.continues is not None:
        yield f"=== {put_on_one_line(describe_continued(thread))}\n\n"
    counted = []
    for section in list_sections(thread):
        counted.append(section.tokens)
        yield "=== " + "\t".join(section.heading) + "\n"
        for turn in section.turns:
            yield f"\n--- {put_on_one_line(turn.label)}\n{escape_controls(turn.text)}\n"
        yield "\n"
    yield "=== " + "\t".join(format_sums(counted)) + "\n"


def list_sections(thread: Thread) -> Iterator[Section]:
    """Yield the responses of a thread, from the oldest."""
    transcript, ids = Transcript(), {*thread.ids}
    for node in thread.nodes():
        exchanged = shown.read_exchanged(node.entry)
        state = _describe_state(node.entry, exchanged)
        counted = count_tokens(node.entry)
        new = [*transcript.add(exchanged), *_list_branches(node, ids)]
        yield Section(_list_heading(node.entry, counted, state), state, new, counted)


def describe_continued(thread: Thread) -> str:
    """Return what the oldest response continues."""
    why = "which is further back than is shown" if thread.cut else "which is not stored"
    return f"continues {thread.continues}, {why}"


def format_sums(counted: list[Tokens]) -> tuple[str, str]:
    """Return how many responses there are, and their tokens."""
    count = "1 response" if len(counted) == 1 else f"{len(counted)} responses"
    return count, str(sum_tokens(counted)) or NONE


def _list_heading(entry: LookupResult, counted: Tokens, state: str) -> tuple[str, ...]:
    exchange, response = entry.exchange, entry.response
    name = response.id if response else (exchange.response_id if exchange else None)
    model = response.model if response else ""
    if exchange is not None:
        name = name or exchange.exchange_id
        model = exchange.model or exchange.requested_model or model
    began = exchange.started_at if exchange else response.created_at if response else None
    columns = (name, model, str(counted), format_time(began), state)
    return tuple(put_on_one_line(column or NONE) for column in columns)


def _describe_state(entry: LookupResult, exchanged: shown.Exchanged) -> str:
    exchange = entry.exchange
    if exchange is None:
        return NONE
    why = exchange.error_code or (exchange.state != "completed" and exchange.ended_by)
    warm_up = "warm-up" if exchanged.warm_up else None
    return ", ".join(filter(None, (exchange.state, why or None, warm_up)))


def _list_branches(node: ThreadNode, ids: set[str]) -> list[LabelledTurn]:
    """Return the turns that name the branches, where more than one response continues this one."""
    if not node.branches:
        return []
    ways = [f"{one} (shown)" if one in ids else one for one in node.branches[-BRANCHES:]]
    more = ["..."] if len(node.branches) > BRANCHES else []
    return [LabelledTurn(f"{len(node.branches)} branches", "\n".join([*more, *ways]))]
