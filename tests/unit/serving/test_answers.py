"""The ingester's side of serving: a question in, an answer out of the database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from response_store.config import Config, load_config
from response_store.serving.answers import ServeQuestions
from response_store.serving.service import StoreQuery, StoreReply, encode
from tests.harness.ports import free_port
from tests.harness.records import ANSWER, QUESTION, record, response
from tests.unit.serving.shelf import SqliteShelf

AT = "/v1/responses/resp_1"


def config_of(folder: Path, url: str, more: str = "") -> Config:
    """A configuration that serves a database."""
    path = folder / "store.yaml"
    path.write_text(f"serve: only\ndatabase_url: {url}\n{more}")
    return load_config(path, {})


@pytest.fixture
def questions(shelf: SqliteShelf, tmp_path: Path) -> Iterator[ServeQuestions]:
    """Answers out of a database with one response."""
    row = response("resp_1", tenant_id="t1", asked=[QUESTION], answered=[ANSWER])
    shelf.write(record("e1", row))
    config = config_of(tmp_path, f"sqlite:///{tmp_path / 'responses.db'}")
    with closing(ServeQuestions(config)) as made:
        yield made


def replied(
    questions: ServeQuestions,
    path: str = AT,
    *,
    mode: str = "only",
    tenant: str = "t1",
    method: str = "GET",
) -> StoreReply:
    """What a question gets."""
    answer = questions.answer(encode(StoreQuery(mode, tenant, method, path)))
    return msgspec.msgpack.decode(answer, type=StoreReply)


@pytest.mark.parametrize("mode", ["only", "prefer"])
def test_what_is_there(questions: ServeQuestions, mode: str) -> None:
    """Both ways of serving answer with it."""
    reply = replied(questions, mode=mode)
    assert (reply.status, dict(reply.headers)) == (200, {"content-type": "application/json"})
    assert json.loads(reply.body)["id"] == "resp_1"
    items = json.loads(replied(questions, f"{AT}/input_items", mode=mode).body)
    assert len(items["data"]) == 1
    stream = replied(questions, f"{AT}?stream=true", mode=mode)
    assert b"response.completed" in stream.body


def test_what_is_not_there(questions: ServeQuestions) -> None:
    """One way says so, the other lets the upstream answer; another tenant's is not there."""
    for path, tenant in (("/v1/responses/resp_2", "t1"), (AT, "t2")):
        assert replied(questions, path, tenant=tenant).status == 404
        assert replied(questions, path, tenant=tenant, mode="prefer").status is None


def test_what_is_to_be_deleted(questions: ServeQuestions) -> None:
    """That is for the proxy to write, where there is anything to delete."""
    assert replied(questions, method="DELETE").status is None
    assert replied(questions, "/v1/responses/resp_2", method="DELETE").status == 404
    assert replied(questions).status == 200


def test_what_is_no_question(questions: ServeQuestions) -> None:
    """A request that asks nothing of us goes on."""
    assert replied(questions, "/v1/models").status is None


def test_every_write_is_seen(questions: ServeQuestions, shelf: SqliteShelf) -> None:
    """A connection that stays open sees what was committed since."""
    assert replied(questions, "/v1/responses/resp_2").status == 404
    shelf.write(record("e2", response("resp_2", tenant_id="t1")))
    assert replied(questions, "/v1/responses/resp_2").status == 200


def test_it_opens_nothing_before_it_is_asked(tmp_path: Path) -> None:
    """Nor does it make a database that is not there."""
    path = tmp_path / "none.db"
    questions = ServeQuestions(config_of(tmp_path, f"sqlite:///{path}"))
    questions.close()
    assert replied(questions).status == 500  # whoever writes it makes it
    assert not path.exists()
    questions.close()
    questions.close()


def test_a_database_that_is_away(tmp_path: Path) -> None:
    """A server out of reach is said to be, unless the upstream can be asked."""
    url = f"postgresql://u:p@127.0.0.1:{free_port()}/store?sslmode=disable"
    config = config_of(tmp_path, url, "allow_private_database_url: true\nbackend: postgres\n")
    with closing(ServeQuestions(config)) as questions:
        assert replied(questions).status == 503
        assert replied(questions, mode="prefer").status is None
