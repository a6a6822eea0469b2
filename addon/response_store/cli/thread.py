"""What `show --thread` says: a thread as one conversation, or as a list of JSON objects."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from response_store.cli import output
from response_store.cli.journal import journal_if_readable, waiting_noted
from response_store.cli.source import note
from response_store.cli.transcript import Transcript
from response_store.errors import PassingStoreError, PermanentStoreError
from response_store.store.threads import thread
from response_store.telling import shown
from response_store.telling.conversation import Turn
from response_store.telling.figures import NONE, local_time
from response_store.telling.printable import one_line, printable, printable_json
from response_store.telling.tokens import Tokens, tokens_of, total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from response_store.cli.source import Source
    from response_store.store.journal.reading import JournalReading
    from response_store.store.lookup import Found
    from response_store.store.threads import Member, Thread, ThreadShelf

BRANCHES = 10  # that are named where responses part


class Section(NamedTuple):
    """One response of a thread: the columns of its line, and the turns that are new."""

    heading: tuple[str, ...]
    state: str
    turns: list[Turn]
    tokens: Tokens


def show_thread(asked: Source, identifier: str, as_json: bool) -> None:
    """Print the thread that an identifier is of. Raises StoreError."""
    with waiting_noted(asked.journal), _shelf(asked) as shelf:
        found = thread(shelf, asked.tenant, identifier)
        if as_json:
            _write_json(found)
        elif output.to_terminal():
            from response_store.cli.thread_view import show  # noqa: PLC0415 (rich only here)

            show(output.terminal(), found)
        else:
            for text in plain(found):
                output.write_text(text)


def _write_json(found: Thread) -> None:
    """A list of the objects that `show --json` gives, in order, each beginning a line."""
    before = b"["
    for member in found.members():
        data = output.encoded(shown.as_object(member.found))
        if output.to_terminal():
            data = printable_json(data.decode("utf-8", "replace")).encode()
        output.write_bytes(before + data)
        before = b",\n"
    output.write_bytes(b"]\n")


def plain(found: Thread) -> Iterator[str]:
    """A line with tabs for each response, then what is new in it under its speaker."""
    if found.continues is not None:
        yield f"=== {one_line(continued(found))}\n\n"
    counted = []
    for section in sections(found):
        counted.append(section.tokens)
        yield "=== " + "\t".join(section.heading) + "\n"
        for turn in section.turns:
            yield f"\n--- {one_line(turn.label)}\n{printable(turn.text)}\n"
        yield "\n"
    yield "=== " + "\t".join(summed(counted)) + "\n"


def sections(found: Thread) -> Iterator[Section]:
    """The responses of a thread, from the oldest."""
    transcript, there = Transcript(), {*found.ids}
    for member in found.members():
        exchanged = shown.exchanged(member.found)
        state = _state(member.found, exchanged)
        counted = tokens_of(member.found)
        new = [*transcript.add(exchanged), *_parting(member, there)]
        yield Section(_heading(member.found, counted, state), state, new, counted)


def continued(found: Thread) -> str:
    """What the oldest response continues."""
    why = "which is further back than is shown" if found.cut else "which is not stored"
    return f"continues {found.continues}, {why}"


def summed(counted: list[Tokens]) -> tuple[str, str]:
    """How many responses there are, and their tokens."""
    count = "1 response" if len(counted) == 1 else f"{len(counted)} responses"
    return count, str(total(counted)) or NONE


def _heading(found: Found, counted: Tokens, state: str) -> tuple[str, ...]:
    exchange, response = found.exchange, found.response
    name = response.id if response else (exchange.response_id if exchange else None)
    model = response.model if response else ""
    if exchange is not None:
        name = name or exchange.exchange_id
        model = exchange.model or exchange.requested_model or model
    began = exchange.started_at if exchange else response.created_at if response else None
    columns = (name, model, str(counted), local_time(began), state)
    return tuple(one_line(column or NONE) for column in columns)


def _state(found: Found, exchanged: shown.Exchanged) -> str:
    exchange = found.exchange
    if exchange is None:
        return NONE
    why = exchange.error_code or (exchange.state != "completed" and exchange.ended_by)
    warm_up = "warm-up" if exchanged.warm_up else None
    return ", ".join(filter(None, (exchange.state, why or None, warm_up)))


def _parting(member: Member, there: set[str]) -> list[Turn]:
    """Which way the thread goes on, where there is more than one."""
    if not member.branches:
        return []
    ways = [f"{one} (shown)" if one in there else one for one in member.branches[-BRANCHES:]]
    more = ["..."] if len(member.branches) > BRANCHES else []
    return [Turn(f"{len(member.branches)} branches", "\n".join([*more, *ways]))]


@contextmanager
def _shelf(asked: Source) -> Iterator[ThreadShelf]:
    """What is stored or, with PostgreSQL, still waits in the journal, in one state."""
    with journal_if_readable(asked.journal) as journal:
        if journal is None:
            with asked.open() as query, query.snapshot() as tables:
                yield tables
        else:
            with _shelf_with(journal, asked) as shelf:
                yield shelf


@contextmanager
def _shelf_with(journal: JournalReading, asked: Source) -> Iterator[ThreadShelf]:
    from response_store.store.journal.threads import (  # noqa: PLC0415 (with PostgreSQL alone)
        JournalThreads,
    )

    with ExitStack() as stack:
        # First: what is drained meanwhile is in both then, not in none.
        stack.enter_context(journal.snapshot())
        tables: ThreadShelf | None = None
        try:
            query = stack.enter_context(asked.open())
            tables = stack.enter_context(query.snapshot())
        except (PassingStoreError, PermanentStoreError) as away:
            note(f"Note: {away}\nOnly what waits for it in the journal is looked at.")
        yield JournalThreads(journal, tables)
