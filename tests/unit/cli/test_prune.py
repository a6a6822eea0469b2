"""`response-store prune`."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from response_store.cli import main
from response_store.cli.options import parse_size
from tests.unit.cli import rows
from tests.unit.queries.sessions_stored import work
from tests.unit.queries.stored import Stored

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command
    from tests.unit.queries.stored_in_postgres import StoredInPostgres

UNTIL = "2026-01-01T02:05:30"


def left(stored: Anywhere) -> list[str]:
    """The exchanges that are there."""
    with stored.open() as query:
        return [one.exchange_id for one in query.recent("default", limit=100).exchanges]


def aged(stored: Anywhere) -> None:
    """Two old exchanges and a new one."""
    now = time.time()
    for name, days in (("a", 40), ("b", 35), ("c", 1)):
        stored.exchange(name, started_at=now - days * 86_400, response_id=f"resp_{name}")
        stored.response(f"resp_{name}", response_object="{" + " " * 9000 + "}")


def test_a_dry_run_says_what_would_go(anywhere: Anywhere, run: Command) -> None:
    """Piped: name, tab, value. Nothing is removed."""
    rows.all_kinds(anywhere)
    result = run("prune", "--until", UNTIL, "--dry-run")
    assert re.fullmatch(
        "would go\t4 exchanges\n"
        "oldest\t2026-01-01 02:00:00\n"
        "newest\t2026-01-01 02:05:00\n"
        r"about\t[\d.]+ KiB" + "\n",
        result.stdout,
    )
    assert len(left(anywhere)) == 5


def test_what_is_old_goes(anywhere: Anywhere, run: Command) -> None:
    """Exchanges, and their responses with them."""
    aged(anywhere)
    result = run("prune", "--older-than", "30d", "--yes", "--no-vacuum")
    assert result.stdout.splitlines()[0] == "removed\t2 exchanges, 2 responses"
    assert left(anywhere) == ["c"]
    assert run("prune", "--older-than", "30d", "--yes").stdout == "would go\tnothing\n"


def test_one_exchange_goes_by_its_id(anywhere: Anywhere, run: Command) -> None:
    """An exchange by its own id, a response with all exchanges that it came in, each asked for."""
    for name, response in (("a1", "resp_a"), ("a2", "resp_a"), ("b1", "resp_b"), ("c1", None)):
        anywhere.exchange(name, response_id=response)
    for name in ("resp_a", "resp_b", "resp_alone"):
        anywhere.response(name)
    assert "1 exchanges" in run("prune", "c", "--dry-run").stdout
    assert run("prune", "c1").exit_code == 2  # nobody is there to be asked
    assert "removed\t1 exchanges, 0 responses" in run("prune", "a1", "--yes").stdout
    assert left(anywhere) == ["c1", "b1", "a2"]
    assert "removed\t2 exchanges, 2 responses" in run("prune", "resp_b", "resp_a", "--yes").stdout
    assert left(anywhere) == ["c1"]
    for identifier, says in (("resp_alone", "without an exchange"), ("zzz", "is not found")):
        result = run("prune", identifier, "--yes")
        assert (result.exit_code, result.stdout) == (1, "")
        assert says in result.stderr
    for others in (["--state", "failed"], ["--all-tenants"], ["--older-than", "1d"]):
        assert run("prune", "c1", *others).exit_code == 2


def test_a_session_goes(anywhere: Anywhere, run: Command) -> None:
    """By its id or the beginning of it, or by its label; another tenant's of that id stays."""
    work(anywhere)
    assert "7 exchanges" in run("prune", "--session", "s-w", "--dry-run").stdout
    assert run("prune", "--session", "s-w", "--all-tenants", "--yes").exit_code == 2
    assert run("prune", "--session", "nothing", "--yes").exit_code == 1
    assert "2 exchanges" in run("prune", "--session", "s-w", "--agent", "review", "--yes").stdout
    assert "5 exchanges" in run("prune", "--label", "tidy-1", "--yes").stdout
    assert left(anywhere) == ["alone", "o1"]
    assert "1 exchanges" in run("prune", "--session", "alone", "--yes").stdout
    assert run("list", "--tenant", "another").stdout.count("\n") == 1


def test_json(anywhere: Anywhere, run: Command) -> None:
    """A program gets numbers."""
    aged(anywhere)
    found = json.loads(run("prune", "--older-than", "30d", "--dry-run", "--json").stdout)
    assert found["would_go"]["exchanges"] == 2
    assert found["would_go"]["oldest"] < found["would_go"]["newest"] < time.time() - 34 * 86_400
    found = json.loads(run("prune", "--older-than", "30d", "--yes", "--json").stdout)
    assert found["removed"] == {"exchanges": 2, "responses": 2}


def test_filters(anywhere: Anywhere, run: Command) -> None:
    """Those of the other commands; without a tenant, that of the configuration."""
    rows.all_kinds(anywhere)
    anywhere.exchange("other", tenant_id="other", state="refused")
    assert "1 exchanges" in run("prune", "--state", "refused", "--yes").stdout
    assert "e-refused" not in left(anywhere)
    assert "1 exchanges" in run("prune", "--model", "gpt-4*", "--yes").stdout
    assert "1 exchanges" in run("prune", "--tenant", "other", "--host", "*", "--yes").stdout
    assert len(left(anywhere)) == 3
    anywhere.exchange("curled", user_agent="curl/8.1")
    assert "1 exchanges" in run("prune", "--client", "curl", "--yes").stdout
    assert len(left(anywhere)) == 3


def test_all_tenants(anywhere: Anywhere, run: Command) -> None:
    """All of them, when that is said."""
    for tenant in ("default", "a", "b"):
        anywhere.exchange(f"e-{tenant}", tenant_id=tenant, started_at=1.0)
    assert "2 exchanges" not in run("prune", "--older-than", "1d", "--dry-run").stdout
    done = run("prune", "--older-than", "1d", "--all-tenants", "--yes")
    assert done.stdout.startswith("removed\t3 exchanges")


def test_by_size(anywhere: Anywhere, run: Command) -> None:
    """The oldest go until the rest fits; what fits is left alone."""
    body = random.Random(1).randbytes(16_384)
    anywhere.exchanges(
        [
            {"exchange_id": f"e{n:02}", "started_at": 1e9 + n, "request_body": body}
            for n in range(90)
        ]
    )
    assert run("prune", "--max-bytes", "1GB", "--yes").stdout == "would go\tnothing\n"
    would = json.loads(run("prune", "--max-bytes", "800kB", "--dry-run", "--json").stdout)
    assert 20 < would["would_go"]["exchanges"] < 70
    run("prune", "--max-bytes", "800kB", "--yes")
    assert 20 < len(left(anywhere)) < 70
    assert left(anywhere)[0] == "e89"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Say what is to go: --older-than 30d"),
        (["--dry-run", "--vacuum"], "Say what is to go"),
        (["--older-than", "30d"], "Nobody is there to be asked: add --yes, or --dry-run"),
        (["--state", "open", "--yes"], "closed when the next one starts"),
        (["--max-bytes", "1GB", "--model", "x"], "give it without filters"),
        (["--max-bytes", "lots"], "Say 500MB, 2GB or 1.5GiB."),
        (["--older-than", "1d", "--tenant", "a", "--all-tenants"], "exclude each other"),
    ],
)
def test_what_is_refused(stored: Stored, run: Command, arguments: list[str], said: str) -> None:
    """Nothing is removed by mistake."""
    stored.exchange("e", started_at=1.0)
    result = run("prune", *arguments)
    assert (result.exit_code, said in " ".join(result.stderr.split())) == (2, True)
    assert left(stored) == ["e"]


def test_it_asks(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal; `n` removes nothing."""
    stored.exchange("e", started_at=1.0)
    monkeypatch.setattr("response_store.cli.prune._is_interactive", lambda: True)
    refused = CliRunner().invoke(main, ["prune", "--older-than", "1d"], input="n\n")
    assert refused.exit_code == 1
    assert "Remove them?" in refused.stderr
    assert left(stored) == ["e"]
    CliRunner().invoke(main, ["prune", "--older-than", "1d"], input="y\n")
    assert left(stored) == []


def big(stored: Stored) -> int:
    """A file with much in it; its size."""
    body = bytes(range(256)) * 200
    stored.exchanges(
        [{"exchange_id": f"e{n}", "started_at": 1.0 + n, "request_body": body} for n in range(60)]
    )
    return stored.path.stat().st_size


def test_a_file_becomes_smaller(stored: Stored, run: Command) -> None:
    """At the end, if no proxy writes to it."""
    before = big(stored)
    result = run("prune", "--older-than", "1d", "--yes")
    assert re.search(r"room\t[\d.]+ MiB given back", result.stdout)
    assert stored.path.stat().st_size < before / 10
    with closing(sqlite3.connect(stored.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_a_proxy_writes_stays_as_it_is(stored: Stored, run: Command) -> None:
    """The room is used again; --vacuum gets it back all the same, and then by itself."""
    before = big(stored)
    stored.insert("{exchanges_journals}", {"journal_id": "lives", "position": 1, "changed_at": 1.0})
    result = run("prune", "--older-than", "1d", "--yes")
    assert "free in the file, used again; response-store prune --vacuum" in result.stdout
    assert stored.path.stat().st_size >= before
    assert "given back" in run("prune", "--vacuum").stdout
    assert stored.path.stat().st_size < before / 10


def test_the_room_in_postgresql(configured: StoredInPostgres, run: Command) -> None:
    """The server uses it again."""
    configured.exchange("e", started_at=1.0)
    result = run("prune", "--older-than", "1d", "--yes")
    assert result.stdout.splitlines()[1] == "room\tused again by PostgreSQL, after its autovacuum"


def test_breaking_off(stored: Stored, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole batches have gone, and the same command goes on."""
    stored.exchanges([{"exchange_id": f"e{n}", "started_at": 1.0 + n} for n in range(50)])

    def interrupted(_: float) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("response_store.cli.prune._rest", interrupted)
        result = run("prune", "--older-than", "1d", "--yes")
    assert result.exit_code == 130
    assert (
        "Stopped: 20 exchanges were removed, in whole batches. The same command removes the rest."
        in (result.stderr)
    )
    assert len(left(stored)) == 30
    run("prune", "--older-than", "1d", "--yes")
    assert left(stored) == []


def test_what_is_missing(run: Command, place: Path) -> None:
    """As the other commands have it."""
    result = run("prune", "--older-than", "1d", "--yes")
    assert result.exit_code == 1
    assert str(place / "data" / "response-store" / "responses.db") in result.stderr


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0), ("1024", 1024), ("10b", 10), ("500MB", 500_000_000), ("2 gb", 2_000_000_000),
        ("1.5GiB", 1_610_612_736), ("1k", 1000), ("3TiB", 3 * 2**40),
    ],
)  # fmt: skip
def test_sizes(text: str, count: int) -> None:
    """MB are millions, MiB are not."""
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "-1", "1.2.3", "2 XB", "MB", "1e6"])
def test_no_sizes(text: str) -> None:
    """What nobody can tell is refused."""
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)
