"""A batch is written whole or not at all, and every value comes back as it was."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import msgspec
import pytest

from response_store.errors import RowRefusedError
from response_store.model.records import ExchangeRow, Record, ResponseRow
from tests.contract.at_once import at_once
from tests.contract.backends import Backend
from tests.contract.contents import Contents
from tests.harness.records import QUESTION, exchange, numbered, record, response

BAD: dict[str, Callable[[], Record]] = {
    "surrogate": lambda: record("bad", output_text="\ud800"),
    "surrogate in the response": lambda: record("bad", response("\udfff", asked=[])),
    "surrogate in a late input": lambda: record("bad", response("r\ud800", status="queued")),
    "integer that is too large": lambda: record("bad", input_tokens=2**63),
    "null where a value must be": lambda: record("bad", host=None),
    "a type that no column takes": lambda: record("bad", error_code=object()),
}


@pytest.mark.parametrize("plain", [True, False])
def test_batches_of_any_length(contents: Contents, plain: bool) -> None:
    """Every record of a batch is there, whatever the length and kind."""
    for count in (1, 2, 3, 31, 32, 33, 64, 100, 255, 256, 257, 600):
        records = numbered(count)
        if not plain:
            records[count // 2] = record("polled", response("polled", status="queued"))
        contents.clear()
        contents.write(*records)
        assert {row["exchange_id"] for row in contents.exchanges()} == {
            one.exchange.exchange_id for one in records
        }
        assert len(contents.responses()) == count


def test_an_empty_batch_is_fine(contents: Contents) -> None:
    """No records, no rows."""
    contents.write()
    assert contents.exchanges() == []


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_undoes_its_batch(contents: Contents, kind: str) -> None:
    """A row that the database refuses is told from a failure, and leaves no trace of its batch."""
    contents.write(record("before"))
    for count, place in product([0, 1, 3, 40, 300], [0, -1]):
        batch = numbered(count)
        batch.insert(place % (count + 1), BAD[kind]())
        with pytest.raises(RowRefusedError):
            contents.write(*batch)
        assert [row["exchange_id"] for row in contents.exchanges()] == ["before"]
    contents.write(*numbered(300))
    assert len(contents.exchanges()) == 301


@pytest.mark.parametrize("kind", BAD)
def test_a_refusal_shows_no_value(contents: Contents, kind: str) -> None:
    """What is said of a bad row does not repeat what is in it."""
    with pytest.raises(RowRefusedError) as caught:
        contents.write(msgspec.structs.replace(BAD[kind](), response=None), BAD[kind]())
    assert "bad" not in str(caught.value)


VALUES = {
    "a very long id": "i" * 100_000,
    "all of Unicode": "".join(map(chr, [1, 0x7F, 0x80, 0x7FF, 0xD7FF, 0xE000, 0xFFFF, 0x10FFFF])),
    "quotes": "'; DROP TABLE openai_exchanges; --\"`[]{}%s ?1 :a",
    "an empty string": "",
    "line ends": "\r\n\t\x0b",
}


@pytest.mark.parametrize("kind", VALUES)
def test_text_comes_back_as_it_was(contents: Contents, kind: str) -> None:
    """Any text, as id and as content, is the same when it is read again."""
    text = VALUES[kind]
    row = ResponseRow(text, text, 1, text, text, text, text)
    contents.write(Record(exchange(text, output_text=text, response_id=text), row))
    assert list(contents.response().values()) == [text, text, 1, text, text, text, text]
    (read,) = contents.exchanges()
    assert (read["exchange_id"], read["output_text"], read["response_id"]) == (text, text, text)


def test_every_column_comes_back(contents: Contents) -> None:
    """Each field of a row is in the column of its name."""
    fields = msgspec.structs.fields(ExchangeRow)
    values = {field.name: _value(field.name, str(field.type)) for field in fields}
    contents.write(Record(ExchangeRow(**values)))
    assert contents.exchange() == values | {"request_base_id": None}


def _value(name: str, kind: str) -> Any:
    if "bytes" in kind:
        return name.encode() + b"\x00\xff"
    if "int" in kind:
        return 2**40 + len(name)
    return len(name) + 0.125 if "float" in kind else name


def test_rows_of_forty_megabytes(contents: Contents) -> None:
    """Very large rows are written like others."""
    text, blob = "x" * 40_000_000, bytes(40_000_000)
    answer = ResponseRow("t1", "r1", 1, "m", text, "[]", "[]")
    contents.write(record("e1", answer, request_body=blob), *numbered(3, start=5))
    (row,) = contents.backend.execute(
        "SELECT length(response_object) AS long, (SELECT length(request_body) "
        "FROM openai_exchanges WHERE exchange_id = 'e1') AS body "
        "FROM openai_responses WHERE id = 'r1'"
    )
    assert row == {"long": 40_000_000, "body": 40_000_000}


def test_opening_and_closing_again_is_harmless(contents: Contents) -> None:
    """`open` of an open store and `close` of a closed one do nothing."""
    contents.store.open()
    contents.write(record())
    assert len(contents.exchanges()) == 1
    contents.store.maintain()
    contents.store.rest()
    contents.store.interrupt()
    contents.store.close()
    contents.store.close()
    contents.store.interrupt()


def test_what_was_written_outlives_the_store(backend: Backend) -> None:
    """A store that is opened anew finds what another one wrote."""
    if not backend.many_stores:
        return
    first = Contents(backend)
    first.write(record(answer=response(status="completed", asked=[QUESTION])))
    first.store.close()
    second = Contents(backend)
    second.write(record("e2", response(status="queued")))
    assert second.member("status") == "completed"


def test_stores_write_at_the_same_time(backend: Backend) -> None:
    """Several stores on one database, opened and used at once, lose nothing."""
    if not backend.many_stores:
        return
    stores = [backend.store() for at in range(4)]

    def work(at: int) -> None:
        for batch in range(10):
            records = numbered(5, start=at * 1000 + batch * 5)
            late = record(f"late-{at}-{batch}", response("shared", status="queued"))
            stores[at].write([*records, late])

    assert at_once(stores, work) == []
    assert len(backend.execute("SELECT 1 FROM openai_exchanges")) == 240
    assert len(backend.execute("SELECT 1 FROM openai_responses")) == 201
