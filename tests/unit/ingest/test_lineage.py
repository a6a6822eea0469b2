"""Exchanges of one conversation get one session, and each the exchange that it continues."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from response_store.backends.base import Turn
from response_store.ingest.draft import Draft
from response_store.ingest.lineage import Lineage
from response_store.model.records import Api, Record
from response_store.queries.statements import TurnKey
from response_store.redaction.redactor import Redactor
from tests.contract.contents import Contents
from tests.unit.ingest.drafts import builder, request, whole
from tests.unit.redaction.keys import KEYS

KEY = KEYS["github"]
CACHE_KEY = "0190a1b2-0000-7000-8000-00000000abcd"


class Conversation:
    """Exchanges one after the other, as a client sends them."""

    def __init__(self) -> None:
        self._number = 0
        self.redactor: Redactor | None = None

    def responses(self, items: list[Any], answer: str, headers: Any = None, **body: Any) -> Record:
        """A turn of the Responses API; the response has the exchange's number."""
        number = self._number + 1
        asked = {"model": "m", "input": items} | body
        response = {
            "id": f"resp_{number}", "object": "response", "status": "completed",
            "output": [said(answer)], "created_at": 1,
        }  # fmt: skip
        return self._record(asked, response, Api.RESPONSES, headers or {})

    def chat(self, messages: list[Any], answer: str) -> Record:
        """A turn of Chat Completions."""
        choice = {"index": 0, "message": {"role": "assistant", "content": answer}}
        completion = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]}
        return self._record({"model": "m", "messages": messages}, completion, Api.CHAT_COMPLETIONS)

    def compact(self, items: list[Any], summary: str) -> Record:
        """A compaction of a conversation."""
        output = [items[0], {"type": "compaction", "id": "cmp_1", "encrypted_content": summary}]
        answer = {"id": "c", "object": "response.compaction", "output": output}
        return self._record({"model": "m", "input": items}, answer, Api.RESPONSES_COMPACT)

    def _record(self, body: Any, answer: Any, api: Api, headers: Any = None) -> Record:
        self._number += 1
        facts = replace(
            request(body, api),
            exchange_id=f"e{self._number}",
            started_at=float(self._number),
            headers=headers or {},
        )
        record = builder(redact=self.redactor).build(Draft(facts, whole(answer)))
        assert isinstance(record, Record)
        return record


def said(text: str) -> dict[str, Any]:
    return {
        "type": "message", "role": "assistant", "id": f"msg_{text}",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }  # fmt: skip


def asked(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


class NoStore:
    """A store that is never asked, or that knows nothing."""

    def __init__(self, *, knows: bool = False) -> None:
        self.knows = knows

    def find_turns(self, names: Sequence[Any], key: TurnKey) -> list[Turn | None]:
        assert self.knows, names
        return [None for _ in names]


def link(*records: Record) -> dict[str, tuple[str | None, str | None]]:
    """Return session and parent of each exchange, all of one batch."""
    store: Any = NoStore(knows=True)
    return places(Lineage(store).link(records))


def places(linked: Any) -> dict[str, tuple[str | None, str | None]]:
    rows = [record.exchange for record in linked]
    return {row.exchange_id: (row.session_id, row.parent_exchange_id) for row in rows}


def test_a_stateless_conversation(talk: Conversation) -> None:
    """Each request has the whole conversation; the first begins the session."""
    first = talk.responses([asked("a")], "A", store=False)
    second = talk.responses([asked("a"), said("A"), asked("b")], "B", store=False)
    third = talk.responses([asked("a"), said("A"), asked("b"), said("B"), asked("c")], "C")
    expected = {"e1": ("e1", None), "e2": ("e1", "e1"), "e3": ("e1", "e2")}
    assert link(first, second, third) == expected


def test_a_chat(talk: Conversation) -> None:
    """Completions are linked as well, whatever the system prompt says each time."""
    system = {"role": "system", "content": "It is noon."}
    first = talk.chat([system, asked("a")], "A")
    answered = [asked("a"), {"role": "assistant", "content": "A"}]
    second = talk.chat([{**system, "content": "It is one."}, *answered, asked("b")], "B")
    assert link(first, second) == {"e1": ("e1", None), "e2": ("e1", "e1")}


def test_a_fork_and_a_retry(talk: Conversation) -> None:
    """Two that go on from one answer have one parent, be it with another text or the same."""
    first = talk.responses([asked("a")], "A")
    before = [asked("a"), said("A")]
    turns = [talk.responses([*before, asked(text)], "B") for text in ("b", "other", "b")]
    assert link(first, *turns) == {
        "e1": ("e1", None), **dict.fromkeys(("e2", "e3", "e4"), ("e1", "e1"))
    }  # fmt: skip


def test_two_that_begin_alike(talk: Conversation) -> None:
    """What was asked twice, and answered alike, are two sessions; the newer one goes on."""
    turns = [talk.responses([asked("hi")], "Hello") for _ in range(2)]
    third = talk.responses([asked("hi"), said("Hello"), asked("b")], "B")
    assert link(*turns, third) == {"e1": ("e1", None), "e2": ("e2", None), "e3": ("e2", "e2")}


def test_a_compaction(talk: Conversation) -> None:
    """What begins with a compacted conversation continues the compaction."""
    first = talk.responses([asked("a")], "A")
    compacted = talk.compact([asked("a"), said("A")], "summary")
    output = [asked("a"), {"type": "compaction", "encrypted_content": "summary"}]
    after = talk.responses([*output, asked("b")], "B")
    linked = link(first, compacted, after)
    assert linked["e2"] == ("e1", "e1")
    assert linked["e3"] == ("e1", "e2")


def test_what_the_request_names(talk: Conversation) -> None:
    """A header counts before a conversation, that before a previous response, then metadata."""
    headers = {"session_id": "codex-1"}
    first = talk.responses([asked("a")], "A", headers)
    second = talk.responses([asked("b")], "B", previous_response_id="resp_1")
    third = talk.responses([asked("c")], "C", {"session_id": "x"}, previous_response_id="resp_1")
    fourth = talk.responses([asked("d")], "D", conversation="conv_1")
    fifth = talk.responses([asked("e")], "E", metadata={"session_id": "m1"})
    both = {"metadata": {"session_id": "m1"}, "prompt_cache_key": CACHE_KEY}
    sixth = talk.responses([asked("f")], "F", prompt_cache_key=CACHE_KEY)
    seventh = talk.responses([asked("g")], "G", prompt_cache_key="my-app")
    eighth = talk.responses([asked("h")], "H", previous_response_id="resp_1", **both)
    ninth = talk.responses([asked("i")], "I", conversation="conv_1", **both)
    tenth = talk.responses([asked("e"), said("E"), asked("j")], "J", prompt_cache_key=CACHE_KEY)
    turns = (first, second, third, fourth, fifth, sixth, seventh, eighth, ninth, tenth)
    assert link(*turns) == {
        "e1": ("codex-1", None),
        "e2": ("codex-1", "e1"),
        "e3": ("x", "e1"),
        "e4": ("conv_1", None),
        "e5": ("m1", None),
        "e6": (CACHE_KEY, None),
        "e7": ("e7", None),
        "e8": ("codex-1", "e1"),
        "e9": ("conv_1", None),
        "e10": (CACHE_KEY, "e5"),
    }


def test_a_socket_that_breaks(talk: Conversation) -> None:
    """What names its predecessors is continued by what sends all of it again, as Codex does."""
    warm_up = talk.responses([asked("env")], "", store=False)
    first = talk.responses([asked("a")], "A", previous_response_id="resp_1")
    nothing = talk.responses([], "", previous_response_id="resp_2")
    second = talk.responses([asked("b")], "B", previous_response_id="resp_3")
    before = [asked("env"), asked("a"), said("A"), asked("b"), said("B")]
    again = talk.responses([*before, asked("c")], "C")
    linked = link(warm_up, first, nothing, second, again)
    assert linked["e5"] == ("e1", "e4")
    elsewhere = talk.responses([asked("b")], "B", {"session_id": "x"}, previous_response_id="e1")
    assert link(warm_up, elsewhere)["e6"] == ("x", None)


def test_a_session_of_its_own_has_no_digest_of_another(talk: Conversation) -> None:
    """So that all digests of a secret go with the sessions in which it stands."""
    first = talk.responses([asked("a")], "A", {"session_id": "x"})
    second = talk.responses([asked("b")], "B", {"session_id": "y"}, previous_response_id="resp_1")
    store: Any = NoStore(knows=True)
    linked: Any = Lineage(store).link([first, second])
    assert linked[1].exchange.parent_exchange_id == "e1"
    assert linked[1].exchange.context_digest is None


def test_a_digest_that_is_none_of_ours(contents: Contents, talk: Conversation) -> None:
    """A row that others have written stops nothing: what goes on from it has no digest."""
    first = set_row(talk.responses([asked("a")], "A"), context_digest="not a digest")
    contents.store.write(Lineage(contents.store).link([first]))
    second = talk.responses([asked("b")], "B", previous_response_id="resp_1")
    (linked,) = Lineage(contents.store).link([second])
    assert isinstance(linked, Record)
    row = linked.exchange
    assert (row.parent_exchange_id, row.context_digest) == ("e1", None)


def test_a_poll_says_what_was_asked(talk: Conversation) -> None:
    """It has the question and the model of the request that began the response."""
    begun = talk.responses([asked("Why?")], "", background=True)
    facts = replace(request(b"", Api.RESPONSES), method="GET", target_response_id="resp_1")
    facts = replace(facts, exchange_id="p", started_at=2.0)
    answer = {"id": "resp_1", "object": "response", "status": "completed", "output": []}
    poll = builder().build(Draft(facts, whole(answer)))
    assert isinstance(poll, Record)
    store: Any = NoStore(knows=True)
    _, linked = Lineage(store).link([begun, poll])
    assert isinstance(linked, Record)
    row = linked.exchange
    assert (row.question, row.requested_model, row.session_id) == ("Why?", "m", "e1")


def test_what_an_open_exchange_continues_stays(talk: Conversation) -> None:
    """Whatever ends meanwhile, and looks the same; so does linking a batch again."""
    first = talk.responses([asked("a")], "A")
    ended = talk.responses([asked("a"), said("A"), asked("b")], "B")
    opened = set_row(ended, state="open", context_digest=None)
    retry = set_row(first, exchange_id="e9", started_at=1.5, response_id="resp_9")
    store: Any = NoStore(knows=True)
    lineage = Lineage(store)
    once = places(lineage.link([first, opened]))
    assert places(lineage.link([retry, ended]))["e2"] == once["e2"] == ("e1", "e1")
    assert places(lineage.link([first, opened])) == once


def set_row(record: Record, **columns: Any) -> Record:
    return replace(record, exchange=replace(record.exchange, **columns))


def test_a_batch_that_is_linked_again(talk: Conversation) -> None:
    """Linking the same changes once more, or with other bounds, gives the same; nobody is asked."""
    turns = [
        talk.responses([asked("a")], "A"),
        talk.responses([asked("a"), said("A"), asked("b")], "B"),
    ]
    store: Any = NoStore()
    lineage = Lineage(store)
    once = places(lineage.link(turns))
    assert places(lineage.link(turns)) == once
    assert places(lineage.link(turns[1:])) == {"e2": once["e2"]}


def test_secrets_do_not_count(talk: Conversation, redactor: Redactor) -> None:
    """What is redacted is linked by what is left of it, and no digest tells what it was."""
    talk.redactor = redactor
    first = talk.responses([asked(f"use {KEY}")], f"I use {KEY}", store=False)
    before = [asked(f"use {KEY}"), said(f"I use {KEY}")]
    second = talk.responses([*before, asked("b")], "B", store=False)
    assert link(first, second) == {"e1": ("e1", None), "e2": ("e1", "e1")}
    left = "use [redacted:github]"
    clean = Conversation().responses([asked(left)], f"I {left}", store=False)
    assert first.exchange.context_digest == clean.exchange.context_digest
    assert second.beginnings == (clean.exchange.context_digest,)


def test_what_can_not_be_searched(
    talk: Conversation, redactor: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not linked."""
    talk.redactor = redactor
    monkeypatch.setattr(redactor, "redact_json", lambda _: None)
    turn = talk.responses([asked("a"), said("A"), asked(KEY)], "B")
    assert (turn.beginnings, turn.exchange.context_digest) == ((), None)


def test_a_restart(contents: Contents, talk: Conversation) -> None:
    """Another process finds in the database what it continues, and of its tenant alone."""
    first = talk.responses([asked("a")], "A")
    contents.store.write(Lineage(contents.store).link([first]))
    by_content = talk.responses([asked("a"), said("A"), asked("b")], "B")
    by_name = talk.responses([asked("c")], "C", previous_response_id="resp_1")
    others = Record(
        replace_tenant(by_content, "another").exchange, None, None, by_content.beginnings
    )
    assert places(Lineage(contents.store).link([by_content, by_name])) == {
        "e2": ("e1", "e1"), "e3": ("e1", "e1")
    }  # fmt: skip
    assert places(Lineage(contents.store).link([others])) == {"e2": ("e2", None)}


def test_the_longest_beginning_after_a_restart(contents: Contents, talk: Conversation) -> None:
    """One that is in the database counts before shorter ones that are known here already."""
    items, turns = [], []
    for number in range(12):
        items = [*items, asked(f"q{number}")]
        turns.append(talk.responses(items, f"a{number}"))
        items = [*items, said(f"a{number}")]
    contents.store.write(Lineage(contents.store).link(turns))
    lineage = Lineage(contents.store)
    fork = talk.responses([asked("q0"), said("a0"), asked("other")], "b")
    assert places(lineage.link([fork]))["e13"] == ("e1", "e1")
    late = talk.responses([*items, asked("on")], "c")
    assert places(lineage.link([late]))["e14"] == ("e1", "e12")
    unknown = [asked("x") if number % 2 == 0 else said("y") for number in range(24)]
    far = talk.responses([*items[:2], *unknown], "d")
    assert places(Lineage(contents.store).link([far]))["e15"] == ("e1", "e1")


def test_a_chain_after_a_restart(contents: Contents, talk: Conversation) -> None:
    """A digest goes on from one that is in the database."""
    first = talk.responses([asked("a")], "A")
    contents.store.write(Lineage(contents.store).link([first]))
    second = talk.responses([asked("b")], "B", previous_response_id="resp_1")
    contents.store.write(Lineage(contents.store).link([second]))
    whole_again = [asked("a"), said("A"), asked("b"), said("B"), asked("c")]
    third = talk.responses(whole_again, "C")
    assert places(Lineage(contents.store).link([third])) == {"e3": ("e1", "e2")}


def test_what_is_used_is_remembered(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many turns those go first that nothing has continued for long."""
    monkeypatch.setattr("response_store.ingest.lineage._MAX_TURNS", 6)
    store: Any = NoStore(knows=True)
    lineage = Lineage(store)
    lineage.link([talk.responses([asked("a")], "A")])
    for number in range(6):
        lineage.link([talk.responses([asked(f"{number}")], "B")])
        fork = talk.responses([asked("a"), said("A"), asked(f"{number}")], "C")
        assert places(lineage.link([fork])) == {fork.exchange.exchange_id: ("e1", "e1")}


def replace_tenant(record: Record, tenant: str) -> Record:
    row = {name: getattr(record.exchange, name) for name in record.exchange.__struct_fields__}
    return Record(type(record.exchange)(**row | {"tenant_id": tenant}))


@pytest.mark.parametrize("odd", ["", "\ud83d"])
def test_the_agent_of_a_socket(talk: Conversation, odd: str) -> None:
    """Its messages have it in their metadata; a header counts before that."""
    metadata = {"x-openai-subagent": "review", "thread_id": "t", "odd": odd}
    columns = talk.responses([asked("a")], "A", client_metadata=metadata).exchange
    assert (columns.agent, columns.session_id) == ("review", "t")
    record = talk.responses([asked("a")], "A", {"agent": "x"}, client_metadata=metadata)
    assert record.exchange.agent == "x"


def test_what_the_row_says(talk: Conversation) -> None:
    """Question, tier, tokens written to the cache, and why an answer is incomplete."""
    facts = request({"model": "m", "input": [asked("Why?")]})
    answer = {
        "id": "r", "object": "response", "status": "incomplete", "output": [],
        "service_tier": "flex", "incomplete_details": {"reason": "max_output_tokens"},
        "usage": {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10,
                  "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 7}},
    }  # fmt: skip
    ending = whole(answer)
    assert ending.answer is not None
    ending = replace(ending, answer=replace(ending.answer, limits={"retry-after": "2"}))
    record = builder().build(Draft(facts, ending))
    assert isinstance(record, Record)
    row = record.exchange
    assert (row.question, row.service_tier, row.cache_write_tokens) == ("Why?", "flex", 7)
    assert row.incomplete_reason == "max_output_tokens"
    assert json.loads(row.rate_limits or "") == {"retry-after": "2"}
