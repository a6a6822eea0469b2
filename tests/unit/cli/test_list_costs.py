"""Costs wherever commands show exchanges: real answers, stored, priced, beside sums by hand."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from response_store.cli import run as run_summary
from response_store.cli.list import show_table
from response_store.cli.list_sessions import show_sessions
from response_store.cli.run import build_table
from response_store.cli.show import draw_exchange
from response_store.cli.source import find_source
from response_store.config import load_config
from response_store.config.model import OwnPrice
from response_store.format.facts import describe_cost
from response_store.ingest.draft import AnswerDraft, Draft, Ending, Request
from response_store.ingest.record_builder import RecordBuilder
from response_store.model.records import Api, EndedBy, Record, Transport
from response_store.model.selection import Selection
from response_store.pricing.prices import Prices, load_prices
from response_store.queries.captured import compute_captured_costs, list_captured
from response_store.queries.sessions import compute_session_costs, list_sessions
from response_store.run.run import RunOutcome
from tests.unit.cli.conftest import Anywhere, Command
from tests.unit.queries.sessions_stored import work
from tests.unit.queries.test_bodies import fill

if TYPE_CHECKING:
    from tests.unit.queries.stored import Stored

NOVEMBER = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
JUNE = datetime(2025, 6, 9, tzinfo=UTC).timestamp()
DAY = 86_400.0
INPUT = {"input_tokens": 1000, "output_tokens": 100}
CASES: dict[str, tuple[str, dict[str, Any], str | None, float, str | None]] = {
    # 1,000 at $1.25 and 100 at $10 a million
    "plain": ("gpt-5.1", INPUT, None, NOVEMBER, "0.00225"),
    # 200 at $1.25, 800 at $0.125, 100 at $10
    "cached": ("gpt-5.1", {**INPUT, "input_tokens_details": {"cached_tokens": 800}}, "default",
               NOVEMBER, "0.00135"),
    # 200 at $2, 300 at $0.20, 500 at $2.50, 100 at $10
    "written": ("gpt-6-sol", {**INPUT, "input_tokens_details": {
        "cached_tokens": 300, "cache_write_tokens": 500}}, None, NOVEMBER, "0.00271"),
    # half of the standard price: 1,000 at $0.625 and 100 at $5
    "flex": ("gpt-5.1", INPUT, "flex", NOVEMBER, "0.001125"),
    # twice the standard price: 1,000 at $2.50 and 100 at $20
    "priority": ("gpt-5.1", INPUT, "priority", NOVEMBER, "0.0045"),
    # half of the standard price
    "batch": ("gpt-5.1", INPUT, "batch", NOVEMBER, "0.001125"),
    "unknown-tier": ("gpt-5.1", INPUT, "turbo", NOVEMBER, None),
    # above 272,000 tokens each costs more: 272,001 at $4 and 1,000 at $15
    "long": ("gpt-6-sol", {"input_tokens": 272_001, "output_tokens": 1000}, None, NOVEMBER,
             "1.103004"),
    # 1,000 at $10 and 100 at $40, until the night to 10 June 2025
    "before": ("o3", INPUT, None, JUNE + DAY - 1, "0.014"),
    # 1,000 at $2 and 100 at $8 from then on
    "after": ("o3", INPUT, None, JUNE + DAY, "0.0028"),
    "unknown-model": ("mine", INPUT, None, NOVEMBER, None),
    "no-output": ("gpt-5.1", {"input_tokens": 1000}, None, NOVEMBER, None),
    # 1,000 at $0.10 and 100 at $0.40
    "own": ("llama-4", INPUT, None, NOVEMBER, "0.00014"),
}  # fmt: skip
OWN = "[{model: 'llama*', input: 0.1, output: 0.4}]"
PRICES = "[{model: gpt-5.1, input: 10, cached_input: 1, output: 100}]"


def build(name: str) -> Record:
    """What a case's exchange comes to, as the ingester builds it of its bytes."""
    model, usage, tier, began, _ = CASES[name]
    response = {"id": name, "object": "response", "model": model, "status": "completed",
                "created_at": int(began), "output": [], "usage": usage}  # fmt: skip
    if tier is not None:
        response["service_tier"] = tier
    request = Request(
        exchange_id=f"e-{name}", tenant_id="default", api=Api.RESPONSES, method="POST",
        scheme="https", host="api.openai.com", path="/v1/responses", started_at=began,
        body=json.dumps({"model": model, "input": name}).encode(),
    )  # fmt: skip
    answer = AnswerDraft(Transport.HTTP, 200, None, json.dumps(response).encode())
    change = RecordBuilder(load_config(None, {}).capture, "r1").build(
        Draft(request, Ending(EndedBy.BODY, began + 1, None, answer))
    )
    assert isinstance(change, Record)
    return change


def configure(stored: Anywhere, prices: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.configure(Path("prices.yaml"), prices=prices)
    monkeypatch.setenv("RESPONSE_STORE_CONFIG", "prices.yaml")


def test_cases_by_hand(anywhere: Anywhere, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the bytes of an answer to what commands say: tiers, caches, lengths, dates, own."""
    monkeypatch.delitem(sys.modules, "genai_prices")
    pytest.importorskip("genai_prices", reason="is not for Python 3.11")
    fill(anywhere, [build(name) for name in CASES])
    configure(anywhere, OWN, monkeypatch)
    by_hand = {name: None if case[4] is None else float(case[4]) for name, case in CASES.items()}
    listed = json.loads(run("list", "--json").stdout)
    assert {one["response_id"]: one["cost_usd"] for one in listed["exchanges"]} == by_hand
    sources = sorted(name.split(" of ")[0].split()[0] for name in listed["prices"])
    assert sources == ["genai-prices", "own"]
    for name, usd in by_hand.items():
        shown = json.loads(run("show", name, "--json").stdout)
        assert shown["cost_usd"] == usd
        source = shown["price_source"]
        begins = "own prices of " if name == "own" else "genai-prices "
        assert source is None if usd is None else source.startswith(begins)
    counted = json.loads(run("stats", "--json").stdout)
    # 0.00225 + 0.00135 + 0.001125 + 0.0045 + 0.001125; 0.00271 + 1.103004; 0.014 + 0.0028
    by_model = {"gpt-5.1": (0.01035, 2), "gpt-6-sol": (1.105714, 0), "o3": (0.0168, 0),
                "llama-4": (0.00014, 0), "mine": (None, 1)}  # fmt: skip
    assert {
        one["key"]: (one["cost_usd"], one["cost_unknown"]) for one in counted["groups"]
    } == by_model
    total = counted["total"]
    assert (total["cost_usd"], total["cost_unknown"]) == (1.133004, 3)
    sessions = json.loads(run("list", "--sessions", "--json").stdout)["sessions"]
    assert {one["session_id"]: one["cost_usd"] for one in sessions} == {
        f"e-{name}": usd for name, usd in by_hand.items()
    }
    assert sum(one["cost_unknown"] for one in sessions) == 3
    tailed = run("tail", "--json", "-n", "20").stdout.splitlines()
    assert {one["response_id"]: one["cost_usd"] for one in map(json.loads, tailed)} == by_hand


def test_a_pipe_gets_costs_last(
    anywhere: Anywhere, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`list`, `tail`, and of sessions the known sum and of how many turns it is not known."""
    work(anywhere)
    configure(anywhere, PRICES, monkeypatch)
    # 60 at $10, 40 at $1, 10 at $100
    listed = [line.split("\t") for line in run("list", "--session", "s-work").stdout.splitlines()]
    assert {line[7]: line[-1] for line in listed}["w1"] == "0.00164"
    assert {line[7]: line[-1] for line in listed}["w3"] == "-"  # no price of gpt-5.1-mini
    tailed = run("tail", "--session", "s-work").stdout.splitlines()
    assert {line.split("\t")[-1] for line in tailed} == {"0.00164", "-"}
    sessions = [line.split("\t") for line in run("list", "--sessions").stdout.splitlines()]
    # alone: 3 at $10 and 2 at $100; s-work: three turns, two of mini; of s-other one runs
    assert {line[1]: line[-2:] for line in sessions} == {
        "alone": ["0.00023", "0"], "s-work": ["0.00492", "2"], "s-other": ["-", "1"],
    }  # fmt: skip


def draw(parts: Any, width: int) -> str:
    """What a terminal of a width shows."""
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    parts(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def prices() -> Prices:
    own = OwnPrice("gpt-5.1", input=Decimal(10), cached_input=Decimal(1), output=Decimal(100))
    return load_prices((own,), "own.yaml")


@pytest.mark.parametrize(("width", "is_shown"), [(100, False), (110, True), (200, True)])
def test_a_wide_terminal_has_costs(
    stored: Stored, prices: Prices, width: int, is_shown: bool
) -> None:
    """Where there are prices; what is not known is a dash, what has no tokens is empty."""
    work(stored)
    with stored.open() as query:
        page = query.recent("default", limit=20)
    table = draw(lambda console: show_table(console, page, {}, prices=prices), width)
    assert ("cost" in table.splitlines()[0]) is is_shown
    assert ("$0.0016" in table) is is_shown
    assert "cost" not in draw(lambda console: show_table(console, page, {}), width)
    assert "cost" not in draw(lambda console: show_table(console, page, {}, prices=Prices([])), 200)


def test_sessions_have_costs(stored: Stored, prices: Prices) -> None:
    """With what is not known, from 110 columns on; none without prices."""
    work(stored)
    with stored.open() as query:
        page = list_sessions(query.reader, Selection(tenant="default"), limit=20)
        costs = compute_session_costs(query.reader, "default", page.sessions, prices)
        assert compute_session_costs(query.reader, "default", page.sessions, Prices([])) == {}
    table = draw(lambda console: show_sessions(console, page, costs), 120)
    assert "$0.0049, 2 unknown" in table
    assert "cost" not in draw(lambda console: show_sessions(console, page, costs), 109)
    assert "cost" not in draw(lambda console: show_sessions(console, page), 120)


def test_a_session_names_its_sum(
    anywhere: Anywhere, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`show --session` ends with it, a page to share as well; JSON has the cost of each."""
    work(anywhere)
    last = run("show", "--session", "s-work").stdout.splitlines()[-1]
    assert last.split("\t")[-1] == "315 in (120 cached), 33 out"
    configure(anywhere, PRICES, monkeypatch)
    last = run("show", "--session", "s-work").stdout.splitlines()[-1]
    assert last.split("\t")[-1] == "$0.0049, 2 unknown"
    page = run("show", "--session", "s-work", "--html", "-").stdout
    assert "$0.0049, 2 unknown</footer>" in page
    each = json.loads(run("show", "--session", "s-work", "--json").stdout)
    assert [one["cost_usd"] for one in each].count(0.00164) == 3


def test_show_says_what_an_exchange_cost(
    anywhere: Anywhere, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its first line; all facts name whose price it is, or why there is none."""
    work(anywhere)
    assert "cost" not in run("show", "w1").stdout
    configure(anywhere, PRICES, monkeypatch)
    assert "cost\t$0.0016, by own prices of prices.yaml\n" in run("show", "w1").stdout
    assert "cost\tnot known: no price of gpt-5.1-mini at api.openai.com with tier flex\n" in (
        run("show", "w4").stdout
    )
    source = find_source(None, None)
    with source.open() as query:
        entry = query.find("default", "w1")
        cost = describe_cost(entry, source.load_prices())
    first = draw(lambda console: console.print(next(draw_exchange(entry, cost))), 100)
    assert first.rstrip().endswith("$0.0016")
    assert "$0.0016" in run("show", "w1", "--html", "-").stdout


def test_a_response_asked_for_again_costs_what_it_did(anywhere: Anywhere, prices: Prices) -> None:
    """Its row counts no tokens, as another has them; the cache's part is in the response."""
    usage = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 40},
             "output_tokens": 10}  # fmt: skip
    body = json.dumps({"id": "resp_1", "usage": usage})
    anywhere.exchange("e1", response_id="resp_1", model="gpt-5.1", method="GET")
    anywhere.response("resp_1", response_object=body)
    with anywhere.open() as query:
        cost = describe_cost(query.find("default", "resp_1"), prices).cost
    assert cost == (Decimal("0.00164"), "own prices of own.yaml")


def test_a_run_says_what_it_cost(
    anywhere: Anywhere, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its headline and by group; a response in two exchanges costs once."""
    ours = {"recorder_id": "ours", "started_at": 1000.0, "model": "gpt-5.1"}
    tokens = {"input_tokens": 100, "output_tokens": 10}
    rows: Mapping[str, Mapping[str, Any]] = {
        "e1": tokens, "e2": {"tenant_id": "another", **tokens},
        "e3": {"state": "refused", "error_code": "no"}, "e4": {"model": "other", **tokens},
        "e5": {"response_id": "resp_1", "state": "queued"},
        "e6": {"response_id": "resp_1", "method": "GET", "path": "/v1/responses/resp_1", **tokens},
    }  # fmt: skip
    for name, columns in rows.items():
        anywhere.exchange(name, **(ours | columns))
    configure(anywhere, PRICES, monkeypatch)
    outcome = RunOutcome(
        status=0, since=500.0, recorder_id="ours", log="", proxy_lost=False, proxy_killed=False
    )
    source = find_source(None, None)
    run_summary.summarize(source, outcome, None)
    head, *lines = capsys.readouterr().err.splitlines()
    # three times 100 at $10 and 10 at $100
    assert head.endswith(", $0.0060, 1 unknown, 1 with errors")
    assert lines[0].split("\t")[-2:] == ["0.006", "0"]
    with source.open() as query:
        groups = list_captured(query.reader, "ours", 500.0)
        costs = compute_captured_costs(query.reader, "ours", 500.0, source.load_prices())
        assert compute_captured_costs(query.reader, "ours", 500.0, Prices([])) == {}
    table = draw(lambda console: console.print(build_table(groups, 100, costs)), 100)
    assert "$0.0060" in table
    assert "cost" not in draw(lambda console: console.print(build_table(groups, 100)), 100)
