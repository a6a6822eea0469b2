"""`response-store redact --existing`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from response_store.model.zstd import unpack
from response_store.pruning import redact as stored_redaction
from response_store.pruning.redact import RowChange
from tests.harness.agent_session import Agent, Turn, build_records
from tests.unit.queries.stored import Stored, packed
from tests.unit.queries.test_bodies import fill
from tests.unit.redaction.keys import KEYS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Anywhere, Command

KEY = KEYS["github"]
SAID = json.dumps([{"role": "user", "content": f"use {KEY} please"}])
REQUEST = json.dumps({"input": f"use {KEY} please"}).encode()


@pytest.fixture
def with_secrets(anywhere: Anywhere, place: Path) -> Anywhere:
    """Rows with a key in every place, clean ones, and one that is open; redaction is configured."""
    anywhere.configure(place / "proxy.yaml", redact="common")
    texts = ("request_body", "output_text", "result", "raw_response", "error_message")
    columns: dict[str, Any] = dict.fromkeys(("response_id", *texts))
    rows = [
        {"exchange_id": "e1", "response_id": "resp_1", "request_body": packed(REQUEST)},
        {"exchange_id": "e2", "output_text": f"here: {KEY}", "error_message": f"no {KEY}",
         "raw_response": packed(f'{{"text": "here: {KEY}"}}'.encode())},
        {"exchange_id": "e3", "result": json.dumps({"id": KEY}), "tenant_id": "another"},
        {"exchange_id": "clean", "request_body": packed(b'{"input": "nothing"}')},
        {"exchange_id": "open", "state": "open", "request_body": packed(REQUEST)},
    ]  # fmt: skip
    anywhere.exchanges([{"tenant_id": "default", "state": "completed", **columns, **row}
                        for row in rows])  # fmt: skip
    anywhere.response("resp_1", input=SAID, messages=SAID)
    anywhere.response("resp_alone", response_object=json.dumps({"output": [{"text": KEY}]}))
    anywhere.response("resp_clean")
    return anywhere


def dump(stored: Anywhere) -> str:
    """All rows but the open one, bodies unpacked."""
    texts = []
    with stored.open() as query:
        for table in ("exchanges", "responses"):
            for row in query.reader.rows(f"SELECT * FROM {{{table}}}"):
                if "open" not in row:
                    texts += [
                        zstandard.decompress(value).decode() if isinstance(value, bytes) else value
                        for value in row
                    ]
    return "\n".join(map(str, texts))


def redact(run: Command, *arguments: str) -> Any:
    """Run the command; return what a program gets."""
    result = run("redact", "--existing", "--config", "proxy.yaml", "--json", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_a_dry_run_changes_nothing(with_secrets: Anywhere, run: Command) -> None:
    """It counts what would change, by table and by pattern."""
    before = dump(with_secrets)
    found = redact(run, "--dry-run")
    assert found["would_change"] == {"exchanges": 3, "responses": 2, "conversations": 0}
    assert found["searched"] == 8
    assert found["patterns"] == {"github": 5}
    assert dump(with_secrets) == before


def test_secrets_go_and_all_else_stays(with_secrets: Anywhere, run: Command) -> None:
    """No column has the key any more, what is clean is as it was, and twice is once."""
    before = dump(with_secrets)
    assert redact(run, "--yes")["changed"]["exchanges"] == 3
    after = dump(with_secrets)
    assert KEY not in after
    assert after.count("[redacted:github]") == before.count(KEY)
    with with_secrets.open() as query:
        still_open = query.exchange("default", "open")
    assert still_open is not None
    assert still_open.request_body == packed(REQUEST)
    again = redact(run, "--yes")
    assert again["changed"] == {"exchanges": 0, "responses": 0, "conversations": 0}
    assert dump(with_secrets) == after


def test_digests_of_secrets_go(anywhere: Anywhere, run: Command, place: Path) -> None:
    """By one a short secret could be guessed; what follows in the session is digested with it."""
    anywhere.configure(place / "proxy.yaml", redact="common")
    anywhere.response("resp_2", response_object=json.dumps({"output": [{"text": KEY}]}))
    rows = {
        "e1": {"session_id": "one", "output_text": KEY},
        "e2": {"session_id": "one", "output_text": "on"},
        "e3": {"session_id": "two", "response_id": "resp_2"},
        "e4": {"session_id": "one", "tenant_id": "another"},
        "e5": {"session_id": "three"},
        "e6": {"output_text": KEY},
    }
    for name, row in rows.items():
        anywhere.exchange(
            name, **{"response_id": None, "context_digest": name, "answer_digest": name} | row
        )
    redact(run, "--yes")
    with anywhere.open() as query:
        left = query.reader.rows(
            "SELECT exchange_id FROM {exchanges} WHERE context_digest IS NOT NULL"
            " OR answer_digest IS NOT NULL ORDER BY 1"
        )
    assert [name for (name,) in left] == ["e4", "e5"]


def test_the_search_index_forgets(with_secrets: Anywhere, run: Command) -> None:
    """What was found by a key is not found any more, and all else is."""
    assert run("search", "--config", "proxy.yaml", KEY).stdout.count("\n") == 2
    redact(run, "--yes")
    assert run("search", "--config", "proxy.yaml", KEY).stdout == ""
    assert json.loads(run("search", "--config", "proxy.yaml", "please", "--json").stdout)["total"]


def test_the_file_forgets(stored: Stored, run: Command, place: Path) -> None:
    """Neither the file nor the log beside it has the bytes of a key, nor its words."""
    stored.configure(place / "proxy.yaml", redact="common")
    for number in range(40):
        text = f"number {number} {'and so on ' * 90} {KEY} {'and more ' * number}"
        stored.exchange(f"e{number}", output_text=text, response_id=f"resp_{number}")
        stored.response(f"resp_{number}", response_object=json.dumps({"output": [{"text": KEY}]}))
    assert run("search", "--config", "proxy.yaml", KEY).stdout.count("\n") == 20
    redact(run, "--yes")
    for path in stored.path.parent.glob("responses.db*"):
        data = path.read_bytes().lower()
        assert KEY.encode().lower() not in data, path
        assert KEY.encode().lower().removeprefix(b"ghp_") not in data, path
    assert json.loads(run("search", "--config", "proxy.yaml", "redacted", "--json").stdout)["total"]


def test_filters_choose_what_is_searched(with_secrets: Anywhere, run: Command) -> None:
    """Exchanges that pass, and the responses that these name."""
    found = redact(run, "--yes", "--session", "e1")
    assert found["changed"] == {"exchanges": 1, "responses": 1, "conversations": 0}
    assert redact(run, "--dry-run", "--tenant", "another")["would_change"]["exchanges"] == 1


def test_what_can_not_be_searched_goes(anywhere: Anywhere, run: Command, place: Path) -> None:
    """A frame that is damaged, and an answer that nobody could decode, are not kept."""
    anywhere.configure(place / "proxy.yaml", redact="common")
    anywhere.exchange("e1", request_body=b"no frame")
    anywhere.exchange(
        "e2", state="unreadable", raw_response=packed(b"\x1f\x8b\xff\xff"), event_times='{"ms":[1]}'
    )
    assert redact(run, "--yes")["left_out"] == {"request_body": 1, "raw_response": 1}
    with anywhere.open() as query:
        for name in ("e1", "e2"):
            row = query.exchange("default", name)
            assert row is not None
            assert (row.request_body, row.raw_response, row.event_times) == (None, None, None)


def test_times_of_events_stay_with_their_stream(
    anywhere: Anywhere, run: Command, place: Path
) -> None:
    """What is masked within an event changes no time; a stream that goes takes them along."""
    anywhere.configure(place / "proxy.yaml", redact="common")
    times, halves = '{"ms":[400,20]}', (KEY[:20], KEY[20:])
    delta = 'data: {"type":"response.output_text.delta","item_id":"m","delta":"%s"}\n\n'
    for name, texts in (("e1", (f"a {KEY} ", "b")), ("e2", halves)):
        stream = "".join(delta % text for text in texts).encode()
        anywhere.exchange(
            name, state="interrupted", transport="sse", raw_response=packed(stream),
            event_times=times,
        )  # fmt: skip
    assert redact(run, "--yes")["left_out"] == {"raw_response": 1}
    with anywhere.open() as query:
        masked, left_out = (query.exchange("default", name) for name in ("e1", "e2"))
    assert masked is not None
    assert left_out is not None
    assert KEY.encode() not in zstandard.decompress(masked.raw_response or b"")
    assert masked.event_times == times
    assert (left_out.raw_response, left_out.event_times) == (None, None)


def test_conversations(anywhere: Anywhere, run: Command, place: Path) -> None:
    """What was said in a conversation is searched as well; its id stays."""
    anywhere.configure(place / "proxy.yaml", redact="common")
    anywhere.script("DELETE FROM {conversations}")
    anywhere.script(
        "INSERT INTO {conversations} (conversation_id, tenant_id, created_at, metadata, messages)"
        f""" VALUES ('conv_1', 'default', 1, '{{{{"key":"{KEY}"}}}}', '[]')"""
    )
    assert redact(run, "--yes")["changed"]["conversations"] == 1
    with anywhere.open() as query:
        rows = query.reader.rows("SELECT conversation_id, metadata FROM {conversations}")
    assert rows == [("conv_1", '{"key":"[redacted:github]"}')]


def test_a_row_that_changes_meanwhile_is_read_again(
    with_secrets: Anywhere, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a proxy has written since is searched as well, and not overwritten."""
    build = stored_redaction.StoredRedaction._build_change
    written = []

    def build_beside_a_proxy(self: Any, table: Any, row: Any) -> RowChange | None:
        change = build(self, table, row)
        if change is not None and change.key == ("e2",) and not written:
            written.append("e2")
            with_secrets.script(
                f"UPDATE {{exchanges}} SET output_text = 'later {KEY}' WHERE exchange_id = 'e2'"
            )
        return change

    monkeypatch.setattr(stored_redaction.StoredRedaction, "_build_change", build_beside_a_proxy)
    redact(run, "--yes")
    with with_secrets.open() as query:
        row = query.exchange("default", "e2")
    assert written == ["e2"]
    assert row is not None
    assert row.output_text == "later [redacted:github]"


def test_a_pipe_gets_lines(with_secrets: Anywhere, run: Command) -> None:
    """A name, a tab, and a value."""
    result = run("redact", "--existing", "--config", "proxy.yaml", "--yes")
    assert result.stdout == (
        "searched\t8 rows\nchanged\t3 exchanges, 2 responses, 0 conversations\n"
        "pattern github\t5 rows\n"
    )


def test_what_is_refused(stored: Stored, run: Command, place: Path) -> None:
    """Nothing is changed by mistake."""
    stored.exchange("e1", request_body=packed(REQUEST))
    (place / "proxy.yaml").write_text("redact: common\n")
    for arguments, says in (
        (["--config", "proxy.yaml", "--yes"], "Say --existing"),
        (["--existing", "--yes"], "names nothing to redact"),
        (["--existing", "--config", "proxy.yaml"], "Nobody is there to be asked"),
    ):
        result = run("redact", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert says in " ".join(result.stderr.split())
    assert KEY in dump(stored)


def test_a_session_whose_bodies_are_packed(anywhere: Anywhere, run: Command, place: Path) -> None:
    """A secret goes from every turn that repeats it, and all else of these is as it was."""
    anywhere.configure(place / "proxy.yaml", redact="common")
    agent = Agent()
    bodies = [agent.take().body for _ in range(3)]
    agent.items.append({"role": "user", "content": f"use {KEY}"})
    bodies += [agent.take().body for _ in range(5)]
    fill(anywhere, [*build_records([Turn(body, b"{}") for body in bodies])])
    assert redact(run, "--yes")["changed"]["exchanges"] == 5
    clean = [body.replace(KEY.encode(), b"[redacted:github]") for body in bodies]
    with anywhere.open() as query:
        rows = [query.exchange("default", f"e{number:04}") for number in range(len(bodies))]
    assert [unpack(row.request_body) for row in rows if row and row.request_body] == clean
    assert redact(run, "--yes")["changed"]["exchanges"] == 0


def test_a_secret_goes_from_a_base_and_all_that_is_packed_against_it(
    anywhere: Anywhere, run: Command, place: Path
) -> None:
    """Of a body that others need to be read no frame keeps it, nor do the bytes of any."""
    anywhere.configure(place / "proxy.yaml", redact="common")
    agent = Agent()
    agent.items.append({"role": "user", "content": f"use {KEY}"})
    bodies = [agent.take().body for _ in range(6)]
    fill(anywhere, [*build_records([Turn(body, b"{}") for body in bodies])])
    assert {base for _, base in read_frames(anywhere)} == {None, "e0000"}
    assert redact(run, "--yes")["changed"]["exchanges"] == len(bodies)
    frames = read_frames(anywhere)
    based = [base for _, base in frames if base is not None]
    clean = [body.replace(KEY.encode(), b"[redacted:github]") for body in bodies]
    assert based or [unpack(frame) for frame, _ in frames] == clean
    assert not any(KEY.encode() in frame for frame, _ in frames)
    with anywhere.open() as query:
        rows = [query.exchange("default", f"e{number:04}") for number in range(len(bodies))]
    assert [unpack(row.request_body) for row in rows if row and row.request_body] == clean


def read_frames(stored: Anywhere) -> list[tuple[bytes, str | None]]:
    """All bodies as they are stored, each with its base."""
    with stored.open() as query:
        columns = "request_body, request_base_id"
        rows = query.reader.rows(f"SELECT {columns} FROM {{exchanges}} ORDER BY exchange_id")
    return [(bytes(frame), base) for frame, base in rows]
