"""`response-store list`."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from response_store.backends.registry import open_file
from response_store.cli.list import shorten_page_ids, show_table
from response_store.model.records import ExchangeRow
from response_store.model.selection import Selection
from response_store.queries.exchanges import ALL
from tests.unit.cli import rows
from tests.unit.queries.stored import NAMES, Stored

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command

NOW = 1767226012.0
GOLDEN = """\
2026-01-01 02:06:40\topen\t-\t-\t-\t-\tapi.openai.com\te-open\t-\t-\t-
2026-01-01 02:05:00\tcompleted\tgpt-4.1\t7\t3\t-\tapi.openai.com\te-chat\tHi there\tWave\t-
2026-01-01 02:03:20\tinterrupted\t-\t-\t-\t1 min 01 s\tapi.openai.com\tresp_cut\tHalf an ans\t-\t-
2026-01-01 02:01:40\trefused\tgpt-5.1\t-\t-\t88 ms\tapi.openai.com\te-refused\t\
invalid_api_key: Incorrect API key. See the docs.\t-\t-
2026-01-01 02:00:00\tcompleted\tgpt-5.1-2025-11-13\t120\t45\t1.8 s\tapi.openai.com\t\
resp_68a1b2c3d4e5f607\tSunny: and 東京 ␛[31mred␛[0m\tWeather? 21 degrees\t-
"""


def drawn(stored: Stored, width: int, limit: int = 20, selection: Selection = ALL) -> str:
    """The table on a terminal of that width, without colours."""
    file = io.StringIO()
    console = Console(file=file, width=width, markup=False, highlight=False, emoji=False)
    with open_file(stored.path, NAMES) as query:
        page = query.recent("default", limit=limit, selection=selection)
        ids = shorten_page_ids(query, "default", page)
    show_table(console, page, ids, narrowed=selection != ALL, now=NOW)
    return file.getvalue()


def test_a_pipe_gets_plain_columns(anywhere: Anywhere, run: Command) -> None:
    """Piped output is one line an exchange with tabs, whole ids and nothing a terminal obeys."""
    rows.all_kinds(anywhere)
    result = run("list")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == GOLDEN


def test_a_long_id_is_whole_in_a_pipe(anywhere: Anywhere, run: Command) -> None:
    """An id of 450 characters can be cut out of the line and shown."""
    anywhere.exchange("e1", response_id="resp_" + "x" * 445)
    identifier = run("list").stdout.split("\t")[7]
    assert identifier == "resp_" + "x" * 445
    assert run("show", identifier).exit_code == 0


def test_an_empty_store_lists_nothing(anywhere: Anywhere, run: Command) -> None:
    """No rows are no output and no error."""
    result = run("list")
    assert (result.exit_code, result.output) == (0, "")
    assert json.loads(run("list", "--json").stdout) == {"exchanges": [], "next": None, "prices": []}


def test_json_holds_what_is_known(anywhere: Anywhere, run: Command) -> None:
    """A program gets numbers as numbers, times in Unix seconds, and null for the unknown."""
    rows.all_kinds(anywhere)
    listed = json.loads(run("list", "--json").stdout)
    assert listed["next"] is None
    newest, oldest = listed["exchanges"][0], listed["exchanges"][-1]
    assert newest["model"] is newest["output_start"] is newest["response_id"] is None
    assert oldest["exchange_id"] == rows.EXCHANGE_ID
    assert oldest["started_at"] == 1767225600.25
    assert oldest["cached_tokens"] == 64
    bodies = {
        "request_body",
        "result",
        "output_text",
        "raw_response",
        "context_digest",
        "answer_digest",
        "event_times",
    }
    assert (
        oldest.keys() - {"output_start", "cost_usd"} == set(ExchangeRow.__struct_fields__) - bodies
    )
    assert oldest["output_start"] == "Sunny:\tand\n東京 \x1b[31mred\x1b[0m"


def test_pages_follow_one_another(anywhere: Anywhere, run: Command) -> None:
    """`next` is what --before takes, until it is null."""
    rows.all_kinds(anywhere)
    ids, cursor = [], []
    for _ in range(5):
        page = json.loads(run("list", "--limit", "2", "--json", *cursor).stdout)
        ids += [one["exchange_id"] for one in page["exchanges"]]
        if page["next"] is None:
            break
        cursor = ["--before", page["next"]]
    assert ids == ["e-open", "e-chat", "e-partial", "e-refused", rows.EXCHANGE_ID]


@pytest.mark.parametrize(
    "arguments",
    [["--before", "yesterday"], ["--limit", "0"], ["--limit", "x"], ["--limit", "9" * 30], ["x"]],
)
def test_wrong_usage_ends_with_2(stored: Stored, run: Command, arguments: list[str]) -> None:
    """A wrong option is told on standard error."""
    result = run("list", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error" in result.stderr


def test_a_tenant_sees_its_own(anywhere: Anywhere, run: Command) -> None:
    """--tenant chooses whose exchanges are listed."""
    anywhere.exchange("e1", tenant_id="ours")
    assert run("list").stdout == ""
    assert "e1" in run("list", "--tenant", "ours").stdout
    assert run("list", "--tenant", "").stdout == ""


def test_a_value_cannot_break_the_columns(anywhere: Anywhere, run: Command) -> None:
    """Tabs and line ends in values become spaces: a line stays a line, a column a column."""
    anywhere.exchange("a\tb", model="m\n\r\x0b\x0c\x1c\x85\u2028x", host="h\ti", output_text="\t\n")
    (line,) = run("list").stdout.split("\n")[:-1]
    assert line.split("\t")[2:8:5] == ["m x", "a b"]
    assert len(line.split("\t")) == 11


@pytest.mark.parametrize("started_at", [1e300, -1e300, float("inf"), -1.0, 0.0])
def test_an_impossible_time_is_listed(anywhere: Anywhere, run: Command, started_at: float) -> None:
    """A time beyond the calendar is shown as its number."""
    anywhere.exchange("e1", started_at=started_at)
    assert "e1" in run("list").stdout
    assert run("list", "--json").exit_code == 0


@pytest.mark.parametrize("width", [10, 20, 40, 41, 60, 70, 80, 90, 100, 130, 250])
def test_a_row_is_a_line_at_any_width(stored: Stored, width: int) -> None:
    """No line is wider than the terminal, wide characters count double, and a row is one line."""
    rows.all_kinds(stored)
    stored.exchange("w", model="模型" * 20, host="主机" * 20, output_text="東京👩‍👩‍👧" * 40)
    lines = drawn(stored, width).splitlines()
    assert len(lines) == 7
    assert max(map(cell_len, lines)) <= width


def test_a_short_id_is_shown(stored: Stored, run: Command) -> None:
    """The id of a table is as short as `show` takes it, whatever else begins so."""
    rows.whole(stored)
    stored.exchange(rows.EXCHANGE_ID[:8] + "-other", response_id=rows.EXCHANGE_ID[:7])
    ids = [line.split()[-1] for line in drawn(stored, 80).splitlines()[1:]]
    assert ids == ["0e1c5a0e-o", "0e1c5a0e-8"]
    assert rows.RESPONSE_ID in run("show", ids[1]).stdout


def test_a_terminal_says_how_to_go_on(stored: Stored) -> None:
    """Under a page that is not the last stands the cursor of the next, never cut."""
    rows.all_kinds(stored)
    assert "--before 1767225900.0,e-chat\n" in drawn(stored, 20, limit=2)
    assert "--before" not in drawn(stored, 80)


def test_a_terminal_says_that_there_is_nothing(stored: Stored) -> None:
    """An empty table would look like a fault."""
    assert "No exchange" in drawn(stored, 80)


def test_captured_markup_stays_text(stored: Stored) -> None:
    """What looks like rich markup or an emoji code is shown as it is."""
    stored.exchange("e1", output_text="[red]x[/red] [/] :smile: \x1b]0;title\x07")
    assert "[red]x[/red] [/] :smile: ␛]0;title␇" in drawn(stored, 250)


def several(stored: Anywhere) -> None:
    """Exchanges an hour apart, from midnight of the first day of 2026 (local time)."""
    midnight = 1767218400.0
    columns = [
        {"model": "gpt-5.1", "requested_model": "gpt-5"},
        {"requested_model": "gpt-5-mini", "state": "refused", "user_agent": "OpenAI/Python 2.1"},
        {"user_agent": "curl/8.1", "model": "O3", "host": "eu.api.openai.com"},
        {"model": "100%_sure!", "state": "failed", "host": "API.example.com"},
        {"state": "open", "host": "localhost"},
    ]
    for at, one in enumerate(columns):
        stored.exchange(f"e{at}", started_at=midnight + 3600 * at, **one)


FILTERS: list[tuple[list[str], str]] = [
    (["--model", "gpt-5.1"], "0"),
    (["--model", "gpt-5"], "0"),
    (["--model", "GPT-5*"], "10"),
    (["--model", "o3", "--model", "gpt-5-mini"], "21"),
    (["--model", "*%*"], "3"),
    (["--model", "100__sure!"], ""),
    (["--model", "100%_sure!"], "3"),
    (["--model", "100!%!_sure!"], ""),
    (["--model", "*"], "3210"),
    (["--model", ""], ""),
    (["--state", "open"], "4"),
    (["--state", "OPEN", "--state", "failed"], "43"),
    (["--host", "api.openai.com"], "10"),
    (["--host", "*.openai.com"], "210"),
    (["--host", "api.EXAMPLE.com", "--host", "localhost"], "43"),
    (["--client", "curl"], "2"),
    (["--client", "openai/*", "--client", "CURL"], "21"),
    (["-n", "2"], "43"),
    (["--since", "2026-01-01 02:00"], "432"),
    (["--until", "2026-01-01 02:00"], "10"),
    (["--since", "2026-01-01T01:00", "--until", "2026-01-01 03:00"], "21"),
    (["--since", "2026-01-01T01:00Z"], "43"),
    (["--since", "yesterday"], ""),
    (["--model", "gpt*", "--state", "refused", "--since", "2026-01-01"], "1"),
    (["--state", "failed", "--host", "localhost"], ""),
]


def test_filters(anywhere: Anywhere, run: Command) -> None:
    """Each filter passes what it names; several values widen it, several filters narrow."""
    several(anywhere)
    for filters, found in FILTERS:
        result = run("list", *filters)
        assert (result.exit_code, result.stderr) == (0, ""), filters
        listed = [line.split("\t")[7] for line in result.stdout.splitlines()]
        assert listed == [f"e{at}" for at in found], filters


def test_a_model_matches_by_either_name_and_any_date(anywhere: Anywhere, run: Command) -> None:
    """What was asked for or what answered; a name stands for its versions as well."""
    anywhere.exchange("e3", started_at=3.0, requested_model="gpt-5.1", model="gpt-5.1-2026-01-01")
    anywhere.exchange("e2", started_at=2.0, requested_model="gpt-5.1-2026-01-01", state="refused")
    anywhere.exchange("e1", started_at=1.0, requested_model="latest", model="GPT-5.1-mini")
    for name, ids in [
        ("gpt-5.1", ["e3", "e2"]), ("gpt-5.1-2026-01-01", ["e3", "e2"]), ("latest", ["e1"]),
        ("*-mini", ["e1"]), ("gpt-5.1-2026", []), ("*5.1", ["e3", "e2"]),
    ]:  # fmt: skip
        listed = [line.split("\t")[7] for line in run("list", "--model", name).stdout.splitlines()]
        assert listed == ids, name


def background(stored: Anywhere) -> None:
    """Responses in the background: ended, polled once, resumed, cancelled, and only polled."""
    began = {"path": "/v1/responses", "model": "gpt-5.1-2025-11-13", "question": "Prove it"}
    polled = {"method": "GET", "model": "gpt-5.1-2025-11-13"}

    def add(name: str, at: float, path: str, state: str, **columns: object) -> None:
        identifier = f"resp_{name[0]}"
        known = polled | {"path": f"/v1/responses/{identifier}{path}"} if path else began
        columns = known | {"started_at": at, "state": state} | columns
        stored.exchange(name, response_id=identifier, **columns)

    add("a1", 10.0, "", "queued", duration_ms=100.0)
    add("a2", 60.0, "?", "completed", duration_ms=500.0, input_tokens=7, output_text="QED")
    add("b1", 11.0, "", "queued")
    add("b2", 61.0, "?", "in_progress")
    add("c1", 12.0, "", "interrupted", error_message="cut", output_text="Q")
    add("c2", 62.0, "?stream=true", "interrupted")
    add("c3", 63.0, "?stream=true", "completed", output_text="QED")
    add("d1", 13.0, "", "queued")
    add("d2", 64.0, "/cancel", "cancelled", method="POST")
    add("e2", 65.0, "?", "failed", error_code="server_error")
    stored.exchange("x", started_at=66.0, response_id="resp_a", tenant_id="other")


def test_a_background_response_is_one_line(anywhere: Anywhere, run: Command) -> None:
    """From its beginning to its end: with the state, the words and the tokens of what came last."""
    background(anywhere)
    listed = json.loads(run("list", "--json").stdout)["exchanges"]
    assert [(one["exchange_id"], one["state"]) for one in listed] == [
        ("e2", "failed"), ("d1", "cancelled"), ("c1", "completed"), ("b1", "in_progress"),
        ("a1", "completed"),
    ]  # fmt: skip
    ended = listed[-1]
    assert (ended["question"], ended["output_start"], ended["input_tokens"]) == (
        "Prove it", "QED", 7,
    )  # fmt: skip
    assert (ended["started_at"], ended["duration_ms"]) == (10.0, 50_500.0)
    assert (listed[2]["error_message"], listed[2]["output_start"]) == (None, "QED")
    for state, ids in [("completed", ["c1", "a1"]), ("queued", []), ("interrupted", []),
                       ("in_progress", ["b1"]), ("failed", ["e2"])]:  # fmt: skip
        found = json.loads(run("list", "--json", "--state", state).stdout)["exchanges"]
        assert [one["exchange_id"] for one in found] == ids, state
    assert run("list", "--since", "1970-01-01T00:00:55Z").stdout.count("\n") == 1


def servers(stored: Anywhere) -> None:
    """Exchanges with servers that differ by their port alone; of the oldest it is not known."""
    for at, (scheme, host, port) in enumerate(
        [
            ("https", "localhost", None),
            ("http", "localhost", 80),
            ("http", "localhost", 1234),
            ("https", "localhost", 8080),
            ("https", "LOCALHOST", 443),
            ("http", "::1", 8080),
            ("https", "::1", 443),
        ]
    ):
        stored.exchange(f"e{at}", started_at=float(at), scheme=scheme, host=host, port=port)


PORTS: list[tuple[tuple[str, ...], str]] = [
    (("localhost",), "43210"),
    (("localhost:*",), "43210"),
    (("localhost:1234",), "2"),
    (("LocalHost:443", "localhost:80"), "41"),
    (("*:8080",), "53"),
    (("[::1]:8080",), "5"),
    (("[::1]",), "65"),
    (("::1",), "65"),
    (("localhost:12345678",), ""),
    (("localhost:",), ""),
    (("localhost:x",), ""),
]


def test_a_host_with_a_port(anywhere: Anywhere, run: Command) -> None:
    """It is that port of the host; without one all ports are meant."""
    servers(anywhere)
    for hosts, found in PORTS:
        options = [word for host in hosts for word in ("--host", host)]
        listed = [line.split("\t")[7] for line in run("list", *options).stdout.splitlines()]
        assert listed == [f"e{at}" for at in found], hosts


def test_a_port_is_shown_where_it_is_another(anywhere: Anywhere, run: Command) -> None:
    """Lists, groups and `show` have it where it is not the scheme's own; programs always do."""
    servers(anywhere)
    shown = ["::1", "[::1]:8080", "LOCALHOST", "localhost:8080", "localhost:1234", "localhost"]
    assert [line.split("\t")[6] for line in run("list").stdout.splitlines()] == [
        *shown,
        "localhost",
    ]
    grouped = [line.split("\t")[:2] for line in run("stats", "--by", "host").stdout.splitlines()]
    assert dict(grouped) == {**dict.fromkeys(shown, "1"), "localhost": "2"}
    assert "POST http://[::1]:8080/v1/responses" in run("show", "e5").stdout
    ports = [one["port"] for one in json.loads(run("list", "--json").stdout)["exchanges"]]
    assert ports == [443, 8080, 443, 8080, 1234, 80, None]
    assert json.loads(run("show", "e2", "--json").stdout)["port"] == 1234


def test_tool_calls_stand_for_an_answer(anywhere: Anywhere, run: Command) -> None:
    """Where the model said nothing, the tools that it called do; programs get the columns."""
    call = (
        '{"type":"function_call","name":"shell","call_id":"c","arguments":"{\\"cmd\\":\\"ls\\"}"}'
    )
    search = '{"type":"web_search_call","action":{"type":"search","query":"news"}}'
    anywhere.exchange("e1", started_at=3.0, response_id="r1")
    anywhere.response("r1", response_object=f'{{"id":"r1","output":[{call},{search}]}}')
    chat = '{"function":{"name":"look","arguments":"' + "x" * 99 + '"}}'
    body = f'{{"choices":[{{"message":{{"role":"assistant","tool_calls":[{chat}]}}}}]}}'
    anywhere.exchange("e2", started_at=2.0, api="chat_completions", result=body, output_text="")
    anywhere.exchange("e3", started_at=1.0, output_text=None)
    words = [line.split("\t")[8] for line in run("list").stdout.splitlines()]
    shortened = "x" * 80
    assert words == ['→ shell({"cmd":"ls"}) → web_search(news)', f"→ look({shortened}…)", "-"]
    listed = json.loads(run("list", "--json").stdout)["exchanges"]
    assert [one["output_start"] for one in listed] == [None, "", None]


def test_filters_go_on_over_pages(anywhere: Anywhere, run: Command) -> None:
    """With the same filters, --before goes on in what they pass."""
    for at in range(9):
        anywhere.exchange(f"e{at}", started_at=float(at), state="failed" if at % 2 else "completed")
    options, ids = ["--state", "failed", "--until", "1970-01-02", "--limit", "1", "--json"], []
    cursor: list[str] = []
    while not cursor or cursor[1]:
        page = json.loads(run("list", *options, *cursor).stdout)
        ids += [one["exchange_id"] for one in page["exchanges"]]
        cursor = ["--before", page["next"]]
    assert ids == ["e7", "e5", "e3", "e1"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--state", "broken"], "'refused'"),
        (["--since", "someday"], "'3 days ago'"),
        (["--since", "1h", "--until", "2h"], "--since must be earlier than --until"),
        (["--since", "2026-01-01", "--until", "2026-01-01"], "nothing can begin between"),
    ],
)
def test_a_wrong_filter_says_what_can_be_said(
    stored: Stored, run: Command, arguments: list[str], says: str
) -> None:
    """The error shows what is allowed."""
    result = run("list", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in " ".join(result.stderr.split())


def test_a_filter_that_is_no_text_is_told(anywhere: Anywhere, run: Command) -> None:
    """What no database can hold is an error of one line, or passes nothing."""
    anywhere.exchange("e1", model="m")
    for model in ("\udcff", "a\0b", "%"):
        result = run("list", "--model", model)
        assert result.stdout == ""
        assert result.stderr.count("\n") == result.exit_code


def test_a_terminal_knows_that_filters_left_something_out(stored: Stored) -> None:
    """Neither an empty table nor the way to older ones forgets the filters."""
    rows.all_kinds(stored)
    assert "passes these filters" in drawn(stored, 120, selection=Selection(states=("queued",)))
    completed = Selection(states=("completed",))
    assert "older ones: the same with --before " in drawn(stored, 80, 1, selection=completed)
