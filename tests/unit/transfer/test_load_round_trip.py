"""What is exported and imported is the same, in either database."""

from __future__ import annotations

import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from response_store.model.selection import Selection
from response_store.model.tables import EXCHANGES
from response_store.queries.reader import Reader
from response_store.transfer.bulk_writer import BulkWriter
from response_store.transfer.jsonl import encode_row, export, load_schema
from response_store.transfer.load import Import
from response_store.transfer.pages import read_rows
from tests.harness.agent_session import build_records, take_turns
from tests.hypothesis_profiles import examples
from tests.unit.transfer.databases import AnyDatabase, PostgresTables, SqliteFile

ODD = '{"id" : "r", "big": 1e400, "n":1.50, "b":1,"a":2, "e":"\\ud83d\\u0000", "c":"東京"}'
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
documents = st.one_of(
    st.sampled_from([ODD, "[]", "{}", "", "null", '"text"', "[1,\n2]", " {}", "{} ", "{", "[1}]"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=5,
    ).map(json.dumps),
)
frames = st.one_of(
    st.binary(max_size=20),
    st.one_of(st.binary(max_size=20), documents.map(str.encode), texts.map(str.encode)).map(
        zstandard.compress
    ),
)
numbers = st.integers(-(2**63), 2**63 - 1)
reals = st.floats(allow_nan=False, allow_infinity=True).map(lambda x: x + 0.0)
TEXT_COLUMNS = (
    "response_id previous_response_id conversation_id ended_by error_code error_message"
    " requested_model model user_agent upstream_request_id output_text event_times".split()
)
INTEGER_COLUMNS = (
    "status_code input_tokens cached_tokens output_tokens reasoning_tokens total_tokens".split()
)
exchanges = st.fixed_dictionaries(
    {"state": st.sampled_from(["open", "completed", "odd"]), "started_at": reals},
    optional={
        **dict.fromkeys(TEXT_COLUMNS, st.none() | texts),
        **dict.fromkeys(INTEGER_COLUMNS, st.none() | numbers),
        **dict.fromkeys(("first_event_ms", "duration_ms"), st.none() | reals),
        **dict.fromkeys(("request_body", "raw_response"), st.none() | frames),
        "result": st.none() | documents,
    },
)
responses = st.fixed_dictionaries(
    {
        "created_at": numbers, "model": texts, "response_object": documents,
        "input": documents, "messages": documents,
    }
)  # fmt: skip
conversations = st.fixed_dictionaries(
    {"created_at": numbers, "metadata": documents, "messages": documents}
)


def exported(database: AnyDatabase) -> list[bytes]:
    with database.read() as reader:
        return lines_from(reader)


def lines_from(reader: Reader) -> list[bytes]:
    written: list[bytes] = []
    export(reader, Selection(), written.append, int)
    return b"".join(written).splitlines(keepends=True)


def imported(database: AnyDatabase, lines: list[bytes]) -> Import:
    with database.written() as ends:
        return brought(ends, lines)


def brought(ends: tuple[Reader, BulkWriter], lines: list[bytes]) -> Import:
    importing = Import(*ends)
    importing.take(lines, int, pytest.fail)
    assert importing.result.is_complete
    return importing


def refilled(database: AnyDatabase) -> None:
    for table in ("openai_conversations", "openai_responses", "openai_exchanges"):
        database.execute(f"DELETE FROM {table}")


def content(database: AnyDatabase) -> dict[str, Any]:
    """What is there, with bodies unpacked where they can be."""
    found = database.contents()
    for row in found["openai_exchanges"]:
        for name in ("request_body", "raw_response"):
            if row[name] is not None:
                try:
                    row[name] = (
                        "unpacked",
                        zstandard.ZstdDecompressor().decompressobj().decompress(row[name]),
                    )
                except zstandard.ZstdError:
                    row[name] = bytes(row[name])
    return found


def test_nothing_is_lost_on_the_way(
    sqlite: SqliteFile, in_postgres: PostgresTables, other: SqliteFile
) -> None:
    """SQLite, lines, PostgreSQL, lines, SQLite: the same rows and, to the byte, the same lines.

    Every line is as the published schema says.
    """
    valid = Draft202012Validator(load_schema())

    @settings(max_examples=examples(20))
    @given(
        st.lists(exchanges, max_size=3), st.lists(responses, max_size=2),
        st.lists(conversations, max_size=2),
    )  # fmt: skip
    @example(
        [
            {
                "state": "completed",
                "started_at": math.inf,
                "raw_response": zstandard.compress(b"\xff"),
            }
        ],
        [{"created_at": 1, "model": "m", "response_object": ODD, "input": "[]", "messages": "x"}],
        [],
    )
    def check(some: list[Any], answers: list[Any], talks: list[Any]) -> None:
        for database in (sqlite, in_postgres, other):
            refilled(database)
        for at, row in enumerate(some):
            sqlite.exchange(f"e{at}", **row)
        for at, row in enumerate(answers):
            sqlite.response(f"r{at}", **row)
        for at, row in enumerate(talks):
            sqlite.conversation(f"c{at}", **row)
        lines = lines_from(first)
        assert not [error for line in lines for error in valid.iter_errors(json.loads(line))]
        brought(second, lines)
        assert lines_from(second[0]) == lines
        brought(third, lines)
        assert lines_from(third[0]) == lines
        assert content(in_postgres) == content(other) == content(sqlite)

    with sqlite.read() as first, in_postgres.written() as second, other.written() as third:
        check()


def test_importing_twice_changes_nothing(anywhere: AnyDatabase, place: Path) -> None:
    """The second time every row is there already, whatever it is."""
    source = SqliteFile(place / "source.db")
    for state in ("open", "interrupted", "completed"):
        source.exchange(state, state=state, request_body=zstandard.compress(b"x" * 9000, 9))
    source.response("queued", response_object='{"status":"queued"}', input='[{"a":1}]')
    source.conversation()
    lines = exported(source)
    imported(anywhere, lines)
    before = anywhere.contents()
    counts_by_table = imported(anywhere, lines).result.counts_by_table
    assert anywhere.contents() == before
    assert {table.word: (t.sent, t.unchanged) for table, t in counts_by_table.items()} == {
        "conversations": (0, 1), "responses": (0, 1), "exchanges": (0, 3),
    }  # fmt: skip


def test_what_no_text_may_hold_survives_in_sqlite(sqlite: SqliteFile, other: SqliteFile) -> None:
    """A NUL and a lone surrogate, of whatever program, come through a file as they are."""
    sqlite.exchange(output_text="a\0b", error_message="\0")
    sqlite.exchange("e2", output_text="\ud83d!".encode("utf-8", "surrogatepass"))
    imported(other, exported(sqlite))
    assert other.contents() == sqlite.contents()


def test_a_nul_is_replaced_in_postgres(sqlite: SqliteFile, in_postgres: PostgresTables) -> None:
    """PostgreSQL has no NUL: U+FFFD stands for it, and is the same for the second import."""
    sqlite.exchange(output_text="a\0b")
    imported(in_postgres, exported(sqlite))
    assert in_postgres.contents()["openai_exchanges"][0]["output_text"] == "a\ufffdb"
    (counts,) = [
        t for t in imported(in_postgres, exported(sqlite)).result.counts_by_table.values() if t.rows
    ]
    assert (counts.sent, counts.unchanged) == (0, 1)


def test_a_line_is_what_people_expect(sqlite: SqliteFile) -> None:
    """JSON stands in the line as JSON, to the letter; a body as text; null is left out."""
    sqlite.exchange(
        result='{"n":1.50}', request_body=zstandard.compress(b'{"input" :"hi"}'),
        raw_response=zstandard.compress(b"data: {}\n\n"), input_tokens=3,
    )  # fmt: skip
    with sqlite.read() as reader:
        (row,) = read_rows(reader, EXCHANGES, [("e1",)])
    assert encode_row(EXCHANGES, row) == (
        b'{"row":"exchange","exchange_id":"e1","tenant_id":"t1","api":"responses",'
        b'"transport":"http","state":"completed","started_at":1767225600.25,"input_tokens":3,'
        b'"method":"POST","scheme":"https","host":"api.openai.com","path":"/v1/responses",'
        b'"request_body":{"input" :"hi"},"result":{"n":1.50},"raw_response":"data: {}\\n\\n",'
        b'"recorder_id":"recorder"}\n'
    )


def test_a_session_is_exported_whole(anywhere: AnyDatabase, other: SqliteFile) -> None:
    """An export says nothing of how rows are stored; what it makes elsewhere exports the same."""
    turns = take_turns(12)
    with closing(anywhere.store()) as store:
        store.write([*build_records(turns)])
    lines: list[bytes] = []
    with anywhere.read() as reader:
        export(reader, Selection(), lines.append, int)
    with other.written() as (reader, writing):
        taking = Import(reader, writing)
        taking.take(lines, int, lambda *_: None)
        assert taking.result.is_complete
    again: list[bytes] = []
    with other.read() as reader:
        export(reader, Selection(), again.append, int)
    assert again == lines
    members = [json.loads(line) for line in lines]
    requests = [one["request_body"] for one in members if one["row"] == "exchange"]
    assert requests == [json.loads(turn.body) for turn in turns]
    inputs = {one["id"]: one["input"] for one in members if one["row"] == "response"}
    assert [inputs[f"resp_s1_{n}"] for n in range(12)] == [one["input"] for one in requests]


def test_a_body_without_its_base_is_exported_as_it_is(anywhere: AnyDatabase) -> None:
    """It is in the line as it is stored, and no reason to end an export."""
    with closing(anywhere.store()) as store:
        store.write([*build_records(take_turns(3))])
    anywhere.execute("DELETE FROM openai_exchanges WHERE request_base_id IS NULL")
    lines: list[bytes] = []
    with anywhere.read() as reader:
        export(reader, Selection(), lines.append, int)
    members = [json.loads(line) for line in lines]
    assert [one["row"] for one in members].count("exchange") == 2
    assert all("request_body_stored_base64" in one for one in members if one["row"] == "exchange")
