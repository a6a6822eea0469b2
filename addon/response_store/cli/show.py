"""`response-store show`: one exchange, or a thread of them, as a conversation or as JSON.

Some clients send the whole conversation again with every request. What stands in an input before
the last item that the model has said in this thread is history: of that, only what has not been
shown yet is new. Behind it a text may be said twice, as people do say "go on" twice; but what was
asked and has got no answer yet (of a warm-up, or of a request that failed) is not asked anew by
being repeated, and a call or the result of a call is one thing wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from response_store.cli import output
from response_store.cli import source as completion_values
from response_store.cli.apply_journals import apply_journals
from response_store.cli.output import ERROR, LABEL, choose_style, print_facts
from response_store.cli.source import (
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    tenant_option,
)
from response_store.format import exchange
from response_store.format import exchange as shown
from response_store.format.bodies import Tokens, count_tokens, sum_tokens
from response_store.format.exchange import Exchanged, format_plain
from response_store.format.text import (
    NONE,
    escape_controls,
    escape_json,
    format_time,
    put_on_one_line,
)
from response_store.openai_api.item_kinds import LabelledTurn
from response_store.openai_api.items import TurnItem, join_turns
from response_store.queries.threads import Thread, ThreadNode, find_thread

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from response_store.queries.exchanges import Query
    from response_store.queries.lookup import LookupResult


class Transcript:
    """What has been shown of a thread so far."""

    def __init__(self) -> None:
        self._instructions = ""
        self._shown: set[TurnItem] = set()
        self._said: set[TurnItem] = set()  # by the model
        self._unanswered: list[TurnItem] = []
        self._named: dict[str, TurnItem] = {}

    def add(self, exchanged: Exchanged) -> list[LabelledTurn]:
        """Return the turns of the next response that are new."""
        inputs = [self._meant(item) for item in exchanged.inputs]
        fresh = self._fresh([item for item in inputs if item.turns])
        outputs = [item for item in exchanged.answered if item.turns]
        self._remember(fresh, outputs)
        return [*self._instructed(exchanged.instructions), *join_turns([*fresh, *outputs])]

    def _instructed(self, instructions: str) -> list[LabelledTurn]:
        """Return the turn of instructions that are new; each request repeats the old ones."""
        if not instructions or instructions == self._instructions:
            return []
        self._instructions = instructions
        return [LabelledTurn("instructions", instructions)]

    def _meant(self, item: TurnItem) -> TurnItem:
        return self._named.get(item.identifier or "", item) if item.refers else item

    def _fresh(self, inputs: list[TurnItem]) -> list[TurnItem]:
        behind = 1 + max((at for at, item in enumerate(inputs) if item in self._said), default=-1)
        history, rest = inputs[:behind], inputs[behind:]
        repeated = len(self._unanswered)
        if rest[:repeated] == self._unanswered:
            rest = rest[repeated:]
        return [
            *(item for item in history if item not in self._shown),
            *(item for item in rest if item.call is None or item not in self._shown),
        ]

    def _remember(self, inputs: list[TurnItem], outputs: Iterable[TurnItem]) -> None:
        outputs = [*outputs]
        self._said.update(outputs)
        self._shown.update(inputs, outputs)
        self._unanswered = [] if outputs else [*self._unanswered, *inputs]
        for item in (*inputs, *outputs):
            if item.identifier:
                self._named[item.identifier] = item


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
            print_thread(output.open_terminal(), thread)
        else:
            for text in format_plain_thread(thread):
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


def format_plain_thread(thread: Thread) -> Iterator[str]:
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


_CUT = "\u2026"  # where a table has cut an id short
HELP = """Show one exchange: what was asked, what was answered, what it cost.

ID is a response's id, an exchange's id, or the beginning of either, if no other begins so.

With --json: every column of the exchange, the request's body, and the response as the API
sent it, to the letter.

With --thread: the whole conversation that the response is part of, oldest first, each item once.
It goes by previous_response_id and conversation, up to the first response that is stored and on
to the newest; where it parts, along the branch that was begun last. With --json: a list of what
--json gives for each response.

\b
Examples:
  response-store show resp_68a1
  response-store show resp_68a1 --json | jq .response.usage
  response-store show resp_68a1 --raw > answer.sse
  response-store show --thread resp_68a1
"""


@click.command("show", help=HELP)
@click.argument("identifier", metavar="ID", shell_complete=completion_values.complete_identifiers)
@config_option
@database_option
@tenant_option
@json_option
@click.option(
    "--thread", "whole_thread", is_flag=True,
    help="The whole conversation that it is part of, oldest first.",
)  # fmt: skip
@click.option(
    "--raw", is_flag=True, help="The bytes of the answer as they came, where they were kept."
)
def show_command(
    *,
    identifier: str,
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    as_json: bool,
    whole_thread: bool,
    raw: bool,
) -> None:
    """Show one exchange: what was asked, what was answered, what it cost."""
    if as_json and raw:
        raise click.UsageError("--json and --raw exclude each other.")
    if whole_thread and raw:
        raise click.UsageError("--thread and --raw exclude each other.")
    if raw and output.is_terminal():
        raise click.UsageError("--raw could upset this terminal: send it to a file or a pipe.")
    with handle_errors():
        source, wanted = find_source(config, database, tenant), identifier.removesuffix(_CUT)
        apply_journals(source)
        with source.open() as query:
            if whole_thread:
                show_thread(query, source.tenant, wanted, as_json)
            else:
                _write(query.find(source.tenant, wanted), as_json, raw)


def _write(entry: LookupResult, as_json: bool, raw: bool) -> None:
    if raw:
        output.write_bytes(exchange.get_raw_response(entry))
    elif as_json:
        output.write_json(exchange.build_object(entry))
    elif output.is_terminal():
        print_exchange(output.open_terminal(), entry)
    else:
        output.write_text(format_plain(entry))


_HEADING = "bold"


def print_thread(console: Console, thread: Thread) -> None:
    """Print a line for each response, then what is new in it; the
    terminal itself wraps the text.
    """
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    if thread.continues is not None:
        console.print(
            Text(f"{put_on_one_line(describe_continued(thread))}\n", style="dim"), soft_wrap=True
        )
    counted = []
    for section in list_sections(thread):
        counted.append(section.tokens)
        console.print(_build_heading(section), soft_wrap=True)
        for turn in section.turns:
            console.print()
            console.print(Text(put_on_one_line(turn.label), style=LABEL), soft_wrap=True)
            console.print(Text(escape_controls(turn.text)), soft_wrap=True)
        console.print()
    console.print(Text("  ".join(format_sums(counted)), style=_HEADING), soft_wrap=True)


def _build_heading(section: Section) -> Text:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    *columns, state = section.heading
    style = choose_style(section.state.partition(",")[0])
    return Text.assemble(("  ".join([*columns, ""]), _HEADING), (state, style))


def print_exchange(console: Console, entry: LookupResult) -> None:
    """Print facts, then each turn under its speaker; the terminal itself wraps the text."""
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    print_facts(
        console, [(name, put_on_one_line(value)) for name, value in exchange.list_facts(entry)]
    )
    for turn in exchange.list_turns(entry):
        console.print()
        console.print(Text(put_on_one_line(turn.label), style=LABEL), soft_wrap=True)
        console.print(Text(escape_controls(turn.text)), soft_wrap=True)
    for line in _end(entry):
        console.print(line, soft_wrap=True)


def _end(entry: LookupResult) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    row = entry.exchange
    if row is None or row.state == "completed":
        return []
    told = put_on_one_line(f"{row.state}, ended by {row.ended_by}" if row.ended_by else row.state)
    return [Text(f"\n{told}", style=ERROR if row.error_code else choose_style(row.state))]
