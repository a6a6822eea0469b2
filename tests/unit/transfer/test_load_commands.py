"""`export`, `import` and `copy` as they are typed."""

from __future__ import annotations

import base64
import gzip
import json
import os
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from response_store.limits import STORED_BYTES
from tests.fakes.frames import endless
from tests.unit.transfer.conftest import Command
from tests.unit.transfer.databases import AnyDatabase, PostgresTables, SqliteFile

ALL_ARRIVED = "conversations\t1 row, 1 sent\nresponses\t1 row, 1 sent\nexchanges\t2 rows, 2 sent\n"
ALL_THERE = ALL_ARRIVED.replace("sent", "there already")


def filled(database: AnyDatabase) -> None:
    """A few rows of each kind."""
    database.exchange("e1", response_id="r1", output_text="東京 \x1b[31m")
    database.exchange("e2", state="open", tenant_id="t2")
    database.response("r1")
    database.conversation("c1")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_file_goes_there_and_back(
    sqlite: SqliteFile, other: SqliteFile, run: Command, suffix: str
) -> None:
    """Packed or plain; the second import finds everything there."""
    filled(sqlite)
    done = run("export", "--output", f"all.jsonl{suffix}")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"all.jsonl{suffix}: 1 conversations, 1 responses, 2 exchanges\n"
    assert Path(f"all.jsonl{suffix}").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in Path().glob(".*")) == []
    for expected in (ALL_ARRIVED, ALL_THERE):
        done = run("import", f"all.jsonl{suffix}", "--database", "other.db")
        assert (done.exit_code, done.stdout, done.stderr) == (0, expected, "")
    assert other.contents() == sqlite.contents()


def test_a_pipe_goes_there_and_back(sqlite: SqliteFile, other: SqliteFile, run: Command) -> None:
    """Standard output and input; several exports, packed ones too, follow one another."""
    filled(sqlite)
    lines = run("export").stdout_bytes
    assert lines == run("export", "--output", "-").stdout_bytes
    twice = gzip.compress(lines) + gzip.compress(lines)
    done = run("import", "-", "--database", "other.db", "--json", stdin=twice)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["exchanges"]["rows"] == 4
    assert other.contents() == sqlite.contents()


def test_only_what_is_asked_for_is_exported(sqlite: SqliteFile, run: Command) -> None:
    """One tenant, or the exchanges of a filter."""
    filled(sqlite)
    for asked in (["--tenant", "t2"], ["--state", "open"]):
        lines = [json.loads(line) for line in run("export", *asked).stdout.splitlines()]
        assert [line.get("exchange_id") for line in lines] == [None, "e2", None]


def test_a_bad_line_ends_an_import_or_is_left_out(
    sqlite: SqliteFile, other: SqliteFile, run: Command
) -> None:
    """It is named with its number and its rule; what came before is there either way."""
    filled(sqlite)
    lines = run("export").stdout.splitlines(keepends=True)
    lines[3] = lines[3].replace('"tenant_id":"t1"', '"tenant_id":7')
    Path("bad.jsonl").write_text("".join(lines))
    done = run("import", "bad.jsonl", "--database", "other.db")
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: bad.jsonl:4: tenant_id: the type must be string. Take the line out, or fix it."
        " The lines before it were imported; --keep-going leaves bad ones out.\n"
    )
    assert len(other.contents()["openai_responses"]) == 1
    assert other.contents()["openai_exchanges"] == []
    done = run("import", "bad.jsonl", "--database", "other.db", "--keep-going")
    assert done.exit_code == 1
    assert done.stderr.endswith("bad.jsonl: 1 bad lines were left out\n")
    assert [row["exchange_id"] for row in other.contents()["openai_exchanges"]] == ["e2"]


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        (lambda data: data[: data.rindex(b'{"row":"end"')], "its end is missing"),
        (lambda data: data[:-30], "not one JSON object"),
        (lambda data: data[data.index(b"\n") + 1 :], "a header must come first"),
        (
            lambda data: b"".join(data.splitlines(True)[:2] + data.splitlines(True)[3:]),
            "its end te",
        ),
        (lambda data: gzip.compress(data)[:-20], "cut off or damaged"),
        (lambda data: b"\x28\xb5\x2f\xfd nothing", "cut off or damaged"),
        (lambda data: zstandard.compress(data)[:-10], "cut off or damaged"),
        (lambda data: zstandard.compress(data) + zstandard.compress(data)[:9], "cut off or dam"),
        (lambda data: b"SQLite format 3\0", "not one JSON object"),
        (lambda data: b"", "it is empty"),
        (lambda data: b"\r\n\n", "it is empty"),
    ],
)
def test_a_file_that_is_not_whole_is_told(
    sqlite: SqliteFile, run: Command, cut: object, told: str
) -> None:
    """Status 1, and why."""
    filled(sqlite)
    Path("cut.jsonl").write_bytes(cut(run("export").stdout_bytes))  # type: ignore[operator]
    done = run("import", "cut.jsonl", "--database", "new.db")
    assert done.exit_code == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_what_an_editor_or_a_shell_adds(
    sqlite: SqliteFile, other: SqliteFile, run: Command
) -> None:
    """A byte order mark, also in the middle of several files, and line ends of two bytes."""
    filled(sqlite)
    lines = b"\xef\xbb\xbf" + run("export").stdout_bytes.replace(b"\n", b"\r\n")
    done = run("import", "-", "--database", "other.db", stdin=lines * 2)
    assert (done.exit_code, done.stderr) == (0, "")
    assert other.contents() == sqlite.contents()


@pytest.mark.parametrize("way", ["export", "copy"])
@pytest.mark.parametrize("name", ["responses.db", "link.db", "./sub/../responses.db"])
def test_nothing_goes_onto_its_own_source(
    sqlite: SqliteFile, run: Command, way: str, name: str
) -> None:
    """Whichever path leads there, the database stays."""
    filled(sqlite)
    before = sqlite.contents()
    Path("sub").mkdir()
    Path("link.db").symlink_to("responses.db")
    done = run(way, "--output" if way == "export" else "--to", name)
    assert done.exit_code == 2
    assert "database" in done.stderr
    assert sqlite.contents() == before


def test_another_spelling_of_the_same_tables(sqlite: SqliteFile, run: Command, place: Path) -> None:
    """SQLite takes names in any case for the same; other tables of one file are no such."""
    filled(sqlite)
    same = "database_url: sqlite://responses.db\nresponses_table: OpenAI_Responses\n"
    (place / "same.yaml").write_text(same)
    assert run("copy", "--to-config", "same.yaml").exit_code == 2
    tables = [f"{name}s_table: other_{name}s" for name in ("response", "conversation", "exchange")]
    (place / "other.yaml").write_text("\n".join(["database_url: sqlite://responses.db", *tables]))
    done = run("copy", "--to-config", "other.yaml")
    assert (done.exit_code, done.stdout) == (0, ALL_ARRIVED)


def test_the_same_server_by_another_url(
    in_postgres: PostgresTables, run: Command, place: Path
) -> None:
    """PostgreSQL is asked which it is."""
    there = in_postgres.configure(place / "one.yaml")
    other = Path(there).read_text().replace("127.0.0.1", "localhost")
    assert other != Path(there).read_text()
    (place / "other.yaml").write_text(f"{other}\nallow_dns_database_url: true\n")
    done = run("copy", "--config", there, "--to-config", "other.yaml")
    assert (done.exit_code, "the same database" in done.stderr) == (2, True), done.output


@pytest.mark.parametrize("name", ["nowhere/all.jsonl", "."])
def test_where_nothing_can_be_written_is_told(sqlite: SqliteFile, run: Command, name: str) -> None:
    """One line, with the way out."""
    done = run("export", "--output", name)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {name}: it can't be written: ")
    assert done.stderr.count("\n") == 1


def test_a_full_disk_leaves_the_earlier_file(
    sqlite: SqliteFile, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that could not be finished is taken away, and the one before it is still there."""
    filled(sqlite)
    assert run("export", "--output", "all.jsonl").exit_code == 0
    before = Path("all.jsonl").read_bytes()
    done = run("export", "--output", "/dev/full")
    assert (done.exit_code, "No space left on device" in done.stderr) == (1, True)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    sqlite.exchange("e3")
    monkeypatch.setattr(os, "fsync", full)
    done = run("export", "--output", "all.jsonl")
    assert (done.exit_code, "No space left on device" in done.stderr) == (1, True)
    assert Path("all.jsonl").read_bytes() == before
    assert list(Path().glob(".all*")) == []


def test_a_value_of_the_wrong_kind_is_named(sqlite: SqliteFile, run: Command) -> None:
    """SQLite keeps whatever a program writes; a row that no line can hold is told."""
    sqlite.exchange("odd", status_code="many")
    done = run("export", "--output", "all.jsonl")
    assert done.exit_code == 1
    assert "exchange odd: its status_code is not a whole number" in done.stderr
    assert not Path("all.jsonl").exists()


@pytest.mark.parametrize("way", ["to postgres", "to sqlite"])
def test_a_copy_is_whole(
    sqlite: SqliteFile, in_postgres: PostgresTables, run: Command, place: Path, way: str
) -> None:
    """Either way, and again: nothing is sent twice, and what is new is."""
    there = in_postgres.configure(place / "postgres.yaml")
    source: AnyDatabase = sqlite if way == "to postgres" else in_postgres
    target: AnyDatabase = in_postgres if way == "to postgres" else sqlite
    command = ["copy", "--to-config", there] if way == "to postgres" else []
    command = command or ["copy", "--config", there, "--to", "responses.db"]
    filled(source)
    for expected in (ALL_ARRIVED, ALL_THERE):
        done = run(*command)
        assert (done.exit_code, done.stdout, done.stderr) == (0, expected, "")
    assert target.contents() == source.contents()
    source.exchange("e9")
    done = run(*command, "--json")
    told = json.loads(done.stdout)
    assert told["verified"] is True
    assert told["exchanges"] == {
        "rows": 3, "sent": 1, "there": 2, "further": 0, "refused": 0, "different": 0,
    }  # fmt: skip


def test_a_difference_is_found(
    sqlite: SqliteFile, in_postgres: PostgresTables, run: Command, place: Path
) -> None:
    """A row that was changed in the target is named, with what differs; the status is 1."""
    there = in_postgres.configure(place / "postgres.yaml")
    filled(sqlite)
    assert run("copy", "--to-config", there).exit_code == 0
    in_postgres.execute("UPDATE openai_exchanges SET host = 'x' WHERE exchange_id = 'e1'")
    done = run("copy", "--to-config", there)
    assert done.exit_code == 1
    assert done.stderr == "exchange e1: it differs in host\n"
    assert done.stdout.splitlines()[2] == "exchanges\t2 rows, 1 there already, 1 different"


def test_what_has_come_further_is_kept(sqlite: SqliteFile, other: SqliteFile, run: Command) -> None:
    """The target's own later state is no difference."""
    sqlite.exchange("e1", state="open")
    other.exchange("e1", state="completed")
    done = run("copy", "--to", "other.db")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[2] == "exchanges\t1 row, 1 newer there, so kept"
    assert other.contents()["openai_exchanges"][0]["state"] == "completed"


def test_a_row_that_is_refused_is_named(
    sqlite: SqliteFile, in_postgres: PostgresTables, run: Command, place: Path
) -> None:
    """PostgreSQL takes no lone surrogate: that row is told, and the others are there."""
    there = in_postgres.configure(place / "postgres.yaml")
    filled(sqlite)
    sqlite.exchange("e3", output_text="\ud83d".encode("utf-8", "surrogatepass"))
    done = run("copy", "--to-config", there)
    assert done.exit_code == 1
    assert "exchange e3: PostgreSQL" in done.stderr
    assert done.stdout.splitlines()[2] == "exchanges\t3 rows, 2 sent, 1 refused"
    assert len(in_postgres.contents()["openai_exchanges"]) == 2


def test_bodies_packed_otherwise_are_no_difference(
    sqlite: SqliteFile, other: SqliteFile, run: Command
) -> None:
    """What counts is what they hold."""
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(b'{"input":"hello"}' * 900)
    sqlite.exchange(request_body=packed)
    run("export", "--output", "all.jsonl")
    run("import", "all.jsonl", "--database", "other.db")
    assert other.contents() != sqlite.contents()
    assert run("copy", "--to", "other.db").exit_code == 0


@pytest.mark.exhaustive
def test_a_stored_frame_of_gigabytes(
    anywhere: AnyDatabase, other: SqliteFile, run: Command, place: Path
) -> None:
    """What others wrote into a shared database is handed on as it is stored, memory is bounded."""
    frame = endless(1 << 32)
    anywhere.exchange("e1", request_body=frame, raw_response=frame)
    anywhere.exchange("e2")
    config = anywhere.configure(place / "here.yaml")
    tracemalloc.start()
    try:
        assert run("export", "--config", config, "--output", "all.jsonl").exit_code == 0
        assert run("copy", "--config", config, "--to", "other.db").exit_code == 0
        assert tracemalloc.get_traced_memory()[1] < 2 * STORED_BYTES + (64 << 20)
    finally:
        tracemalloc.stop()
    lines = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    (line,) = [line for line in lines if line.get("exchange_id") == "e1"]
    assert base64.b64decode(line["raw_response_stored_base64"]) == frame
    assert [row["raw_response"] for row in other.contents()["openai_exchanges"]] == [frame, None]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give either --to FILE or --to-config FILE"),
        (["--to", "a.db", "--to-config", "b.yaml"], "give either"),
        (["--to", "responses.db"], "the same database"),
        (["--to", "postgres://u:secret@h/d"], "Everyone on this machine sees"),
        (["--to", "sqlite::memory:"], None),
    ],
)
def test_what_makes_no_copy_is_told(
    sqlite: SqliteFile, run: Command, arguments: list[str], told: str | None
) -> None:
    """A wrong command line ends with status 2, and repeats no password."""
    done = run("copy", *arguments)
    assert "secret" not in done.output
    if told is not None:
        assert (done.exit_code, told in done.stderr) == (2, True)


def test_the_target_s_url_has_a_variable_of_its_own(
    sqlite: SqliteFile, run: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source's variable does not make both ends one database."""
    filled(sqlite)
    monkeypatch.setenv("RESPONSE_STORE_DATABASE_URL", "sqlite://responses.db")
    (place / "to.yaml").write_text("database_url: sqlite://named.db\n")
    assert run("copy", "--to-config", "to.yaml").exit_code == 0
    assert Path("named.db").exists()
    monkeypatch.setenv("RESPONSE_STORE_TO_DATABASE_URL", "sqlite://secret.db")
    assert run("copy", "--to-config", "to.yaml").exit_code == 0
    assert Path("secret.db").exists()


@pytest.mark.parametrize("command", ["export", "import", "copy"])
def test_the_help_has_examples(run: Command, command: str) -> None:
    """Each command shows how it is used."""
    assert "Examples:\n    response-store" in run(command, "--help").output
