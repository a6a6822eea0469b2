"""Follow a thread of exchanges: of each, what is new, under a heading.

Some clients send the whole conversation again with every request. What stands in an input before
the last item that the model has said in this thread is history: of that, only what has not been
shown yet is new. Behind it a text may be said twice, as people do say "go on" twice; but what was
asked and has got no answer yet (of a warm-up, or of a request that failed) is not asked anew by
being repeated, and a call or the result of a call is one thing wherever it stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from response_store.format.bodies import Tokens, count_priced_tokens, count_tokens, sum_tokens
from response_store.format.exchange import Exchanged, read_exchanged
from response_store.format.text import (
    NONE,
    escape_controls,
    format_cost,
    format_time,
    put_on_one_line,
)
from response_store.openai_api.item_kinds import LabelledTurn
from response_store.openai_api.items import ItemKey, ItemReader, TurnItem, join_turns
from response_store.pricing.cost import CostSum
from response_store.queries.costs import is_charged

if TYPE_CHECKING:
    from response_store.pricing.prices import Prices
    from response_store.queries.lookup import LookupResult
    from response_store.queries.threads import Thread, ThreadNode


class NewItems(NamedTuple):
    """What an exchange adds to a thread: instructions where they change, and items."""

    instructions: str
    items: tuple[TurnItem, ...]

    @property
    def turns(self) -> list[LabelledTurn]:
        """Return them as turns."""
        first = [LabelledTurn("instructions", self.instructions)] if self.instructions else []
        return [*first, *join_turns(self.items)]


class Transcript:
    """What has been shown of a thread so far."""

    def __init__(self) -> None:
        self._instructions = ""
        self._shown: set[ItemKey] = set()
        self._by_model: set[ItemKey] = set()
        self._unanswered: list[ItemKey] = []
        self._named: dict[str, TurnItem] = {}
        self._last: list[TurnItem] = []  # all of it shown

    def add(self, exchanged: Exchanged) -> NewItems:
        """Return what is new in the next exchange."""
        inputs = [self._resolve_item(item) for item in exchanged.inputs]
        fresh = self._fresh([item for item in inputs if item.turns])
        outputs = [item for item in exchanged.answered if item.turns]
        self._remember(fresh, outputs)
        return NewItems(self._instructed(exchanged.instructions), (*fresh, *outputs))

    def _instructed(self, instructions: str) -> str:
        """Return instructions that are new; each request repeats the old ones."""
        if not instructions or instructions == self._instructions:
            return ""
        self._instructions = instructions
        return instructions

    def _resolve_item(self, item: TurnItem) -> TurnItem:
        return self._named.get(item.identifier or "", item) if item.refers else item

    def _fresh(self, inputs: list[TurnItem]) -> list[TurnItem]:
        places = range(len(inputs) - 1, -1, -1)
        history_end = 1 + next((at for at in places if inputs[at].key in self._by_model), -1)
        history, rest = inputs[:history_end], inputs[history_end:]
        repeated = len(self._unanswered)
        if [item.key for item in rest[:repeated]] == self._unanswered:
            rest = rest[repeated:]
        pairs = zip(inputs, self._last, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] is pair[1], pairs))
        self._last = inputs
        return [
            *(item for item in history[same:] if item.key not in self._shown),
            *(item for item in rest if item.call is None or item.key not in self._shown),
        ]

    def _remember(self, inputs: list[TurnItem], outputs: list[TurnItem]) -> None:
        input_keys, output_keys = ([item.key for item in items] for items in (inputs, outputs))
        self._by_model.update(output_keys)
        self._shown.update(input_keys, output_keys)
        self._unanswered = [] if output_keys else [*self._unanswered, *input_keys]
        for item in (*inputs, *outputs):
            if item.identifier:
                self._named[item.identifier] = item


BRANCHES = 10  # that are named where responses part


class Section(NamedTuple):
    """One exchange of a thread: the columns of its line, what is new, and where it parts.

    `branches` names what continues it, where that is more than one. `exchanged` is all that was
    said, new or not.
    """

    heading: tuple[str, ...]
    state: str
    new: NewItems
    branches: tuple[LabelledTurn, ...]
    tokens: Tokens
    entry: LookupResult
    exchanged: Exchanged

    @property
    def identifier(self) -> str:
        """Return the id to look it up by: the response's, else the exchange's."""
        row, response = self.entry.exchange, self.entry.response
        if row is not None:
            return row.response_id or row.exchange_id
        return response.id if response else ""

    @property
    def turns(self) -> list[LabelledTurn]:
        """Return what is new as turns, the branches last."""
        return [*self.new.turns, *self.branches]


def format_plain_thread(thread: Thread, prices: Prices | None = None) -> Iterator[str]:
    """Yield a line with tabs for each response, then what is new in it under its speaker."""
    if thread.continues is not None:
        yield f"=== {put_on_one_line(describe_continued(thread))}\n\n"
    sums = ThreadSums(prices)
    for section in list_sections(thread):
        sums.add(section)
        yield "=== " + "\t".join(section.heading) + "\n"
        for turn in section.turns:
            yield f"\n--- {put_on_one_line(turn.label)}\n{escape_controls(turn.text)}\n"
        yield "\n"
    yield "=== " + "\t".join(sums.format()) + "\n"


def list_sections(thread: Thread) -> Iterator[Section]:
    """Yield the responses of a thread, from the oldest; what is new, of each agent by itself."""
    ids = {*thread.ids}
    transcripts: defaultdict[str | None, Transcript] = defaultdict(Transcript)
    readers: defaultdict[str | None, ItemReader] = defaultdict(ItemReader)
    for node in thread.nodes():
        agent = node.entry.exchange.agent if node.entry.exchange else None
        exchanged = read_exchanged(node.entry, readers[agent])
        state = _describe_state(node.entry, exchanged)
        counted = count_tokens(node.entry)
        heading = _list_heading(node.entry, counted, state)
        branches = tuple(_list_branches(node, ids))
        new = transcripts[agent].add(exchanged)
        yield Section(heading, state, new, branches, counted, node.entry, exchanged)


def describe_continued(thread: Thread) -> str:
    """Return what the oldest response continues."""
    why = "which is further back than is shown" if thread.cut else "which is not stored"
    return f"continues {thread.continues}, {why}"


class ThreadSums:
    """How many responses there are, their tokens, and with prices what they cost."""

    def __init__(self, prices: Prices | None = None) -> None:
        self._prices = prices
        self._counted: list[Tokens] = []
        self._cost = CostSum()

    def add(self, section: Section) -> None:
        """Count a response."""
        self._counted.append(section.tokens)
        row = count_priced_tokens(section.entry)
        if self._prices and row is not None:
            usd = self._prices.price(row)
            self._cost = self._cost.plus(usd, int(usd is None and is_charged(row)))

    def format(self) -> tuple[str, ...]:
        """Return the sums as texts."""
        count = len(self._counted)
        responses = "1 response" if count == 1 else f"{count} responses"
        costs = (format_cost(*self._cost),) if self._prices else ()
        return responses, str(sum_tokens(self._counted)) or NONE, *costs


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


def _describe_state(entry: LookupResult, exchanged: Exchanged) -> str:
    exchange = entry.exchange
    if exchange is None:
        return NONE
    why = exchange.error_code or (exchange.state != "completed" and exchange.ended_by)
    warm_up = "warm-up" if exchanged.warm_up else None
    agent = f"agent {exchange.agent}" if exchange.agent else None
    return ", ".join(filter(None, (exchange.state, why or None, warm_up, agent)))


def _list_branches(node: ThreadNode, ids: set[str]) -> list[LabelledTurn]:
    """Return the turns that name the branches, where more than one response continues this one."""
    if not node.branches:
        return []
    ways = [f"{one} (shown)" if one in ids else one for one in node.branches[-BRANCHES:]]
    more = ["..."] if len(node.branches) > BRANCHES else []
    return [LabelledTurn(f"{len(node.branches)} branches", "\n".join([*more, *ways]))]
