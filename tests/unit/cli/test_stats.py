"""`response-store stats`."""

from __future__ import annotations

import io
import itertools
import json
import sqlite3
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from response_store.cli.stats import build_table, draw_sparkline, show
from response_store.config.model import OwnPrice
from response_store.format.text import shorten_count
from response_store.model.records import State
from response_store.model.selection import Selection
from response_store.pricing.prices import load_prices
from response_store.queries.statistics import By
from tests.harness.each import each
from tests.unit.cli import rows
from tests.unit.queries.stored import Stored

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command

MIDNIGHT = 1767218400.0  # of the first day of 2026, where the tests are
GOLDEN = """\
gpt-5.1	4	1100	300	100	20	1200	27.3%	100	300	2000	4000	2	50.0%	-	-
o3	1	-	-	-	-	-	-	-	-	-	-	0	0.0%	-	-
-	1	-	-	-	-	-	-	-	-	-	-	0	0.0%	-	-
"""


def some(stored: Anywhere) -> None:
    """Exchanges of two models, and one of none."""
    columns: list[dict[str, Any]] = [
        {
            "input_tokens": 1000, "cached_tokens": 300, "output_tokens": 80,
            "reasoning_tokens": 20, "total_tokens": 1080,
            "first_event_ms": 100.4, "duration_ms": 1000.0, "user_agent": "codex_cli/0.36 (linux)",
        },
        {
            "input_tokens": 100, "output_tokens": 20, "total_tokens": 120,
            "first_event_ms": 300.0, "duration_ms": 2000.0, "user_agent": "codex_cli/0.37 (linux)",
        },
        {"state": "interrupted", "duration_ms": 4000.0, "first_event_ms": 50.0,
         "user_agent": "OpenAI/Python 2.6.1"},
        {"state": "refused", "model": None, "requested_model": "gpt-5.1", "duration_ms": 500.0,
         "user_agent": "OpenAI/JS 5.0.1"},
        {"model": "o3", "state": "incomplete", "host": "eu.api.openai.com", "user_agent": "curl"},
        {"model": None, "state": "open", "user_agent": "/"},
    ]  # fmt: skip
    for at, one in enumerate(columns):
        began = MIDNIGHT + 43200 * at - 1
        stored.exchange(f"e{at}", started_at=began, **({"model": "gpt-5.1"} | one))


def fields(printed: str) -> list[list[str]]:
    return [line.split("\t") for line in printed.splitlines()]


def test_a_pipe_gets_plain_columns(anywhere: Anywhere, run: Command) -> None:
    """A line a model with tabs between all numbers; the largest first, the unknown last."""
    some(anywhere)
    result = run("stats")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == GOLDEN


@pytest.fixture
def some_stored(anywhere: Anywhere) -> None:
    """Exchanges of every kind."""
    some(anywhere)


@each(
    ("by", "groups"),
    [
        ("host", [("api.openai.com", "5"), ("eu.api.openai.com", "1")]),
        (
            "state",
            [("completed", "2"), ("incomplete", "1"), ("interrupted", "1"), ("open", "1"),
             ("refused", "1")],
        ),
        (
            "client",
            [("codex_cli", "2"), ("OpenAI/JS", "1"), ("OpenAI/Python", "1"), ("curl", "1"),
             ("-", "1")],
        ),
        (
            "error",
            [("-", "4"), ("interrupted", "1"), ("refused", "1")],
        ),
        ("session", [("-", "6")]),
        ("agent", [("-", "6")]),
        ("label", [("-", "6")]),
        (
            "hour",
            [("2025-12-31 23:00", "1"), ("2026-01-01 11:00", "1"), ("2026-01-01 23:00", "1"),
             ("2026-01-02 11:00", "1"), ("2026-01-02 23:00", "1"), ("2026-01-03 11:00", "1")],
        ),
        # Each second one began a second before midnight.
        ("day", [("2025-12-31", "1"), ("2026-01-01", "2"), ("2026-01-02", "2"),
                 ("2026-01-03", "1")]),
        ("DAY", [("2025-12-31", "1"), ("2026-01-01", "2"), ("2026-01-02", "2"),
                 ("2026-01-03", "1")]),
    ],
)  # fmt: skip
def test_groups(some_stored: None, run: Command, by: str, groups: list[tuple[str, str]]) -> None:
    """What exchanges are grouped by; days are local and in their order."""
    found = fields(run("stats", "--by", by).stdout)
    assert [(one[0], one[1]) for one in found] == groups


def test_filters_hold(anywhere: Anywhere, run: Command) -> None:
    """The filters are those of `list`, and the tenant counts."""
    some(anywhere)
    anywhere.exchange("x", tenant_id="other", model="secret")
    options = ["--model", "gpt*", "--state", "completed", "--since", "2026-01-01"]
    assert [one[:2] for one in fields(run("stats", *options).stdout)] == [["gpt-5.1", "1"]]
    assert [one[:2] for one in fields(run("stats", "--tenant", "other").stdout)] == [
        ["secret", "1"]
    ]
    assert run("stats", "--until", "2025-01-01").stdout == ""


def test_what_counts_as_an_error(anywhere: Anywhere, run: Command) -> None:
    """Errors are those whose answer is not there; the API's own other ends are none."""
    for state in State:
        anywhere.exchange(f"e-{state}", state=state.value)
    found = fields(run("stats", "--by", "state").stdout)
    errors = {one[0] for one in found if one[12:14] == ["1", "100.0%"]}
    assert errors == {"failed", "refused", "interrupted", "unreadable", "too_large"}
    assert {one[13] for one in found if one[0] not in errors} == {"0.0%"}


def test_json_has_numbers(anywhere: Anywhere, run: Command) -> None:
    """A program gets numbers, shares as parts of one, and the course of time."""
    some(anywhere)
    found = json.loads(run("stats", "--json").stdout)
    first, _, last = found["groups"]
    assert first == {
        "key": "gpt-5.1", "count": 4, "errors": 2, "input_tokens": 1100, "cached_tokens": 300,
        "output_tokens": 100, "reasoning_tokens": 20, "total_tokens": 1200,
        "first_event_ms_p50": 100.4, "first_event_ms_p95": 300.0, "duration_ms_p50": 2000.0,
        "duration_ms_p95": 4000.0, "cached_share": 300 / 1100, "error_share": 0.5,
        "cost_usd": None, "cost_unknown": None,
    }  # fmt: skip
    assert last["key"] is last["cached_share"] is last["duration_ms_p50"] is None
    assert found["by"] == "model"
    total = found["total"]
    assert (total["count"], total["errors"], total["input_tokens"]) == (6, 2, 1100)
    assert (total["duration_ms_p50"], total["first_event_ms_p95"]) == (2000.0, 300.0)
    assert "key" not in total
    course = found["course"]
    assert (course["since"], course["until"]) == (MIDNIGHT - 1, MIDNIGHT + 43200 * 5 - 1)
    assert (sum(course["counts"]), course["counts"][0], course["counts"][-1]) == (6, 1, 1)


PRICES = "[{model: gpt-5.1, input: 10, cached_input: 1, output: 100}]"


def test_costs_with_what_is_not_known(
    anywhere: Anywhere, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each group has its cost and how many exchanges have none; a refusal costs nothing."""
    some(anywhere)
    anywhere.configure(Path("prices.yaml"), prices=PRICES)
    monkeypatch.setenv("RESPONSE_STORE_CONFIG", "prices.yaml")
    found = json.loads(run("stats", "--json").stdout)
    costs = {one["key"]: (one["cost_usd"], one["cost_unknown"]) for one in found["groups"]}
    # 700 at $10, 300 at $1 and 80 at $100; 100 at $10 and 20 at $100; the third was interrupted
    assert costs == {"gpt-5.1": (0.0183, 1), "o3": (None, 1), None: (None, 1)}
    assert (found["total"]["cost_usd"], found["total"]["cost_unknown"]) == (0.0183, 3)
    assert found["prices"] == ["own prices of prices.yaml"]
    assert [one[14:] for one in fields(run("stats").stdout)] == [
        ["0.0183", "1"], ["-", "1"], ["-", "1"],
    ]  # fmt: skip
    by_day = json.loads(run("stats", "--by", "day,model", "--json").stdout)["groups"]
    assert [(one["key"], one["second_key"], one["cost_usd"]) for one in by_day][:2] == [
        ("2025-12-31", "gpt-5.1", 0.0153), ("2026-01-01", "gpt-5.1", 0.003),
    ]  # fmt: skip
    with anywhere.open() as query:
        prices = load_prices((OwnPrice("gpt-5.1", Decimal(10), output=Decimal(100)),), "x")
        statistics = query.statistics(Selection(tenant="default"), By.MODEL, prices=prices)
    console = Console(width=100, file=io.StringIO())
    show(console, statistics, prices)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert "$0.0210, 1 unknown" in next(line for line in lines if line.startswith("gpt-5.1"))
    assert "$0.0210, 3 unknown" in next(line for line in lines if line.startswith("total"))
    assert lines[-1] == "prices: own prices of x"


def test_an_empty_store_has_no_numbers(anywhere: Anywhere, run: Command) -> None:
    """No rows are no output and no error."""
    result = run("stats")
    assert (result.exit_code, result.output) == (0, "")
    assert json.loads(run("stats", "--json").stdout) == {
        "by": "model", "groups": [], "total": None, "course": None, "prices": [],
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 20, 21, 100])
def test_percentiles(anywhere: Anywhere, run: Command, count: int) -> None:
    """Half of all exchanges take no longer than p50, and 95 % no longer than p95."""
    values = [float(at * 7 % count + 1) for at in range(count)]
    anywhere.exchanges(
        [{"exchange_id": f"e{at}", "duration_ms": one} for at, one in enumerate(values)]
    )
    (found,) = json.loads(run("stats", "--json").stdout)["groups"]
    for name, part in (("duration_ms_p50", 0.5), ("duration_ms_p95", 0.95)):
        expected = min(one for one in values if sum(v <= one for v in values) >= part * count)
        assert found[name] == expected


def test_tokens_of_a_response_count_once(anywhere: Anywhere, run: Command) -> None:
    """Of several exchanges of one response the furthest that has tokens tells them.

    They stay with its group, and with its tenant, and count where filters leave it alone.
    """
    at = MIDNIGHT
    told: list[dict[str, Any]] = [
        {"exchange_id": "a1", "state": "in_progress", "input_tokens": 5, "started_at": at},
        {"exchange_id": "a2", "state": "interrupted", "input_tokens": 7, "started_at": at + 9},
        {"exchange_id": "a3", "input_tokens": 100, "output_tokens": 10, "started_at": at + 1},
        {"exchange_id": "a4", "input_tokens": 100, "output_tokens": 10, "started_at": at + 2},
        {"exchange_id": "a5", "started_at": at + 3},
    ]
    for one in told:
        anywhere.exchange(response_id="resp_a", model="m", **one)
    for name in ("b1", "b2"):
        anywhere.exchange(name, response_id="resp_b", model="m", input_tokens=1000)
    anywhere.exchange("c1", response_id="resp_a", model="m", input_tokens=9, tenant_id="other")
    anywhere.exchange("n1", model="m", input_tokens=20_000)
    anywhere.exchange("n2", model="m", input_tokens=20_000)
    (found,) = json.loads(run("stats", "--json").stdout)["groups"]
    assert (found["count"], found["input_tokens"], found["output_tokens"]) == (9, 41_100, 10)
    (early,) = json.loads(
        run("stats", "--json", "--state", "in_progress", "--state", "interrupted").stdout
    )["groups"]
    assert (early["count"], early["input_tokens"]) == (2, 5)
    by_state = json.loads(run("stats", "--json", "--by", "state").stdout)["groups"]
    assert {one["key"]: one["input_tokens"] for one in by_state} == {
        "completed": 41_100, "in_progress": 0, "interrupted": 0,
    }  # fmt: skip


def test_an_id_that_a_chat_server_repeats_is_no_response(anywhere: Anywhere, run: Command) -> None:
    """Some servers of Chat Completions give every answer the same id: the tokens of each count."""
    chat = {"api": "chat_completions", "response_id": "chatcmpl-1", "input_tokens": 10}
    for name in "abc":
        anywhere.exchange(name, model="m", **chat)
    (one,) = fields(run("stats").stdout)
    assert one[1:3] == ["3", "30"]


def test_days_have_their_summer(
    anywhere: Anywhere, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Midnight is where it was in that season, on both sides of a change of the clock."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    # Midnight of January 1st, March 29th and 30th (between them the clock went on), and July 1st.
    midnights = {1767222000: "01-01", 1774738800: "03-29", 1774821600: "03-30", 1782856800: "07-01"}
    for seconds in midnights:
        anywhere.exchange(f"at-{seconds}", started_at=float(seconds))
        anywhere.exchange(f"before-{seconds}", started_at=seconds - 0.25)
    found = fields(run("stats", "--by", "day").stdout)
    assert [one[:2] for one in found] == [
        ["2025-12-31", "1"], ["2026-01-01", "1"], ["2026-03-28", "1"], ["2026-03-29", "2"],
        ["2026-03-30", "1"], ["2026-06-30", "1"], ["2026-07-01", "1"],
    ]  # fmt: skip


@pytest.mark.parametrize("by", ["day", "host"])
@pytest.mark.parametrize("started_at", [-1e300, float("inf"), -1.0, 1e11])
def test_an_impossible_time_is_counted(
    anywhere: Anywhere, run: Command, started_at: float, by: str
) -> None:
    """A time beyond the calendar breaks nothing, beside others and alone."""
    anywhere.exchange("e1", started_at=started_at)
    for _ in range(2):
        found = fields(run("stats", "--by", by).stdout)
        counted = sum(int(one[1]) for one in found)
        assert json.loads(run("stats", "--by", by, "--json").stdout)["by"] == by
        anywhere.exchange("e2") if counted == 1 else None
    assert counted == 2


def test_a_value_cannot_break_the_columns(anywhere: Anywhere, run: Command) -> None:
    """Tabs, line ends and escape sequences in a name stay within its column."""
    anywhere.exchange("e1", model="m\n\x1b[2J\tx", host="h\ti", user_agent="a\tb\x1b/1")
    for by, key in (("model", "m ␛[2J x"), ("host", "h i"), ("client", "a b␛")):
        (one,) = fields(run("stats", "--by", by).stdout)
        assert (one[0], len(one)) == (key, 16)


def drawn(stored: Stored, width: int, by: By = By.MODEL, encoding: str = "utf-8") -> str:
    """The statistics on a terminal of that width, without colours."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    console = Console(file=file, width=width, markup=False, highlight=False, emoji=False)
    with stored.open() as query:
        show(console, query.statistics(Selection(tenant="default"), by))
    file.seek(0)
    return file.read()


def test_everything_fits(stored: Stored) -> None:
    """No line is wider than the terminal, wide characters count double, a group is one line."""
    some(stored)
    stored.exchange("w", model="模型" * 40, host="主机" * 40, user_agent="客户" * 40)
    groups = {"host": 3, "day": 4, "hour": 7, "state": 5, "client": 6, "model": 4, "error": 3}
    for by, width in itertools.product(By, (20, 40, 60, 80, 100, 150, 250)):
        lines = drawn(stored, width, by).splitlines()
        count = groups.get(by, 1)
        assert len(lines) == 3 + count + (2 if count > 1 else 1), (by, width)
        if width >= 40:
            assert max(map(cell_len, lines)) <= width, (by, width)


def test_forty_columns_show_what_matters(stored: Stored) -> None:
    """A narrow terminal gets the groups, their counts and errors."""
    some(stored)
    lines = drawn(stored, 40).splitlines()
    assert lines[3].split() == ["model", "count", "errors"]
    assert lines[4].split() == ["gpt-5.1", "4", "2", "50.0%"]


def test_a_wide_terminal_shows_everything(stored: Stored) -> None:
    """A wide one gets tokens, times, bars and the course of time."""
    some(stored)
    shown = drawn(stored, 160)
    for words in ("1100/100", "27.3%", "100 ms/300 ms", "2.0 s/4.0 s", "██████████", "2 50.0%"):
        assert words in shown
    spark, period = shown.splitlines()[:2]
    assert spark[0] == spark[-1] == "█"
    assert period == "2025-12-31 23:59 - 2026-01-03 11:59"


def test_an_ascii_terminal_gets_no_blocks(stored: Stored) -> None:
    """Where there are no blocks there are numbers alone."""
    some(stored)
    assert drawn(stored, 160, encoding="ascii").isascii()


def test_a_terminal_says_that_there_is_nothing(stored: Stored) -> None:
    """An empty table would look like a fault."""
    assert "No exchange to count" in drawn(stored, 80)


@pytest.mark.parametrize(
    ("counts", "width", "line"),
    [
        ((), 9, ""), ((0, 0), 9, "  "), ((1,), 9, "█"), ((0, 1, 8), 9, " ▁█"),
        ((1, 1000), 9, "▁█"), ((1, 2, 3, 4), 2, "▄█"), ((1, 2, 3), 2, "██"), ((1, 2), 0, "█"),
    ],
)  # fmt: skip
def test_sparklines(counts: tuple[int, ...], width: int, line: str) -> None:
    """Each number is a block; nothing is none; too many are added up."""
    assert draw_sparkline(counts, width) == line


@pytest.mark.parametrize(
    ("count", "shown"),
    [(None, "-"), (0, "0"), (9999, "9999"), (10_000, "10.0k"), (4_560_000, "4.6M"), (2e9, "2.0G")],
)
def test_counts_are_short(count: int | None, shown: str) -> None:
    """Large counts have a unit."""
    assert shorten_count(count) == shown


def test_large_columns_are_not_touched(stored: Stored) -> None:
    """Tables are gone through by their indexes, bodies and texts are never asked for."""
    rows.all_kinds(stored)
    asked: list[str] = []
    with stored.open() as query, closing(sqlite3.connect(stored.path)) as connection:
        reader: Any = query.reader
        reader._connection.set_trace_callback(asked.append)
        query.statistics(Selection(tenant="default"), By.CLIENT)
        reader._connection.set_trace_callback(None)
        statements = [one for one in asked if "openai_exchanges" in one]
        assert len(statements) == 5
        connection.create_function("response_store_client", 1, len)
        connection.create_aggregate("response_store_values", 1, io.StringIO)  # type: ignore[arg-type]
        for statement in statements:
            for column in ("request_body", "raw_response", "output_text", "result", "recorder_id"):
                assert column not in statement
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            steps = [step for step in plan if "openai_exchanges" in step]
            assert steps
            assert all("SEARCH" in step for step in steps), plan


def test_two_groups_at_once(anywhere: Anywhere, run: Command) -> None:
    """Each thing has a column; days in their order, of one day the largest first."""
    some(anywhere)
    anywhere.exchange("m", started_at=MIDNIGHT + 3600, model="o3-2025-04-16")
    anywhere.exchange("n", started_at=MIDNIGHT + 7200, model=None, requested_model="o3")
    groups = [line[:3] for line in fields(run("stats", "--by", "day,model").stdout)]
    assert groups == [
        ["2025-12-31", "gpt-5.1", "1"], ["2026-01-01", "gpt-5.1", "2"], ["2026-01-01", "o3", "2"],
        ["2026-01-02", "gpt-5.1", "1"], ["2026-01-02", "o3", "1"], ["2026-01-03", "-", "1"],
    ]  # fmt: skip
    found = json.loads(run("stats", "--by", "Model, day", "--json", "-n", "2").stdout)
    assert found["by"] == "model,day"
    keys = [(one["key"], one["second_key"]) for one in found["groups"]]
    assert keys == [("gpt-5.1", "2025-12-31"), ("gpt-5.1", "2026-01-01")]
    assert found["total"]["count"] == 8


@pytest.mark.parametrize("by", ["moon", "day,day", "day,model,host", "", "day,"])
def test_wrong_groups_end_with_2(stored: Stored, run: Command, by: str) -> None:
    """The error says what there is."""
    result = run("stats", "--by", by)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "day" in result.stderr


def test_a_model_is_one_whatever_its_date(anywhere: Anywhere, run: Command) -> None:
    """The name that is asked for, and those of its versions, are one group."""
    names = ["gpt-5.1", "gpt-5.1-2025-11-13", "gpt-5.1-2026-01-01", "gpt-5.1-mini", "-2026-01-01",
             "gpt-5.1-2026-01-1x", "gpt-5.1-2026-01-01-x"]  # fmt: skip
    for at, name in enumerate(names):
        anywhere.exchange(f"e{at}", model=name)
    found = {one[0]: one[1] for one in fields(run("stats").stdout)}
    assert found == {
        "gpt-5.1": "3", "gpt-5.1-mini": "1", "-2026-01-01": "1", "gpt-5.1-2026-01-1x": "1",
        "gpt-5.1-2026-01-01-x": "1",
    }  # fmt: skip


def test_a_background_response_counts_once(anywhere: Anywhere, run: Command) -> None:
    """Its polls are no exchanges; what they brought is of the group that it began in."""
    began = {"response_id": "resp_a", "requested_model": "alias", "label": "nightly",
             "session_id": "s", "model": None}  # fmt: skip
    poll = {"response_id": "resp_a", "method": "GET", "path": "/v1/responses/resp_a", "model": "m",
            "input_tokens": 100, "output_tokens": 10, "duration_ms": 3.0}  # fmt: skip
    anywhere.exchange("a1", started_at=MIDNIGHT - 5, state="queued", duration_ms=300.0, **began)
    anywhere.exchange("a2", started_at=MIDNIGHT + 5, **poll)
    anywhere.exchange("b1", started_at=MIDNIGHT + 5, **(poll | {"response_id": "resp_b"}))
    anywhere.exchange("c1", model="m", started_at=MIDNIGHT, duration_ms=900.0)
    anywhere.exchange("c2", model="m", state="refused", duration_ms=1.0)
    found = {}
    for by in ("model", "day", "session", "label", "state"):
        groups = json.loads(run("stats", "--json", "--by", by).stdout)
        assert (groups["total"]["count"], groups["total"]["input_tokens"]) == (4, 200), by
        assert groups["total"]["duration_ms_p95"] == 900.0
        found[by] = {one["key"]: (one["count"], one["input_tokens"]) for one in groups["groups"]}
    assert found["model"] == {"alias": (1, 100), "m": (3, 100)}
    assert found["day"] == {"2025-12-31": (1, 100), "2026-01-01": (3, 100)}
    assert found["session"] == {"s": (1, 100), None: (3, 100)}
    assert found["label"] == {"nightly": (1, 100), None: (3, 100)}
    assert found["state"] == {"completed": (3, 200), "refused": (1, None)}
    for options in (["--model", "alias"], ["--state", "completed", "--model", "alias"]):
        (only,) = json.loads(run("stats", "--json", *options).stdout)["groups"]
        assert (only["count"], only["input_tokens"]) == (1, 100), options
    assert run("stats", "--state", "queued").stdout == ""


def test_a_total_stands_last(stored: Stored) -> None:
    """Where there are several groups; the first of two keys is not repeated."""
    some(stored)
    last = drawn(stored, 120).splitlines()[-1].split()
    assert (last[0], last[1], last[2]) == ("total", "6", "1100/100")
    with stored.open() as query:
        statistics = query.statistics(Selection(tenant="default"), By.STATE, By.MODEL)
    console = Console(file=io.StringIO(), width=100)
    console.print(build_table(statistics, 100))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert [line[:11].strip() for line in shown.splitlines()] == [
        "state", "completed", "incomplete", "interrupted", "open", "refused", "total",
    ]  # fmt: skip
