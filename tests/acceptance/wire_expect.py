"""Check the rows of a recorded case, and what the commands print of them, against its `expect`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from response_store.cli import main
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.harness.database import Database, Row

Json = dict[str, Any]
_CALLS = ("function_call", "custom_tool_call")
_COLUMNS = (
    "state",
    "ended_by",
    "status_code",
    "response_id",
    "model",
    "requested_model",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "output_text",
    "error_code",
    "error_message",
)


@dataclass(frozen=True)
class Checker:
    """One tenant of a database: `source` are the options that name it to a command."""

    database: Database
    tenant: str
    source: Sequence[str]
    sent: bytes

    def check(self, expect: Json) -> None:
        """Check every row that a case makes; raises AssertionError."""
        rows = self.database.all_ended(self.tenant, expect["rows"])
        each = expect.get("each") or [{k: v for k, v in expect.items() if k != "rows"}]
        assert len(each) == len(rows)
        for row, wanted in zip(rows, each, strict=True):
            self.check_row(row, wanted)

    def check_row(self, row: Row, expect: Json) -> None:
        """Check every key of what one row must be; an unknown key is an error."""
        for key, wanted in expect.items():
            if key in _COLUMNS:
                assert row[key] in (wanted if isinstance(wanted, list) else [wanted]), key
            else:
                getattr(self, f"_{key}")(row, wanted)

    def _error_message_contains(self, row: Row, wanted: str) -> None:
        assert wanted in (row["error_message"] or "")

    def _state_not(self, row: Row, wanted: str) -> None:
        assert row["state"] != wanted

    def _tool_calls(self, row: Row, wanted: list[Json]) -> None:
        members = {name for call in wanted for name in call}
        found = [
            [{k: v for k, v in call.items() if k in members} for call in calls]
            for calls in self._stored_calls(row)
        ]
        assert wanted in found

    def _stored_contains(self, row: Row, wanted: list[str]) -> None:
        response = self._response(row)
        texts = (response.get("response_object"), response.get("messages"), row["result"])
        stored = [_plain(text) for text in texts if text]
        assert [text for text in wanted if not any(text in one for one in stored)] == []

    def _show_contains(self, row: Row, wanted: list[str]) -> None:
        shown = self._run("show", row["exchange_id"]).decode()
        assert [text for text in wanted if text not in shown] == [], shown

    def _thread_contains(self, row: Row, wanted: list[str]) -> None:
        shown = self._run("show", "--thread", row["exchange_id"]).decode()
        assert [text for text in wanted if text not in shown] == [], shown

    def _search_finds(self, row: Row, wanted: str) -> None:
        def hits() -> bool:
            found = json.loads(self._run("search", "--json", "--", wanted))
            return row["exchange_id"] in [hit["exchange_id"] for hit in found["hits"]]

        wait_until(hits, f"{wanted!r} is found")

    def _raw_kept(self, row: Row, wanted: bool) -> None:
        assert (self._run("show", "--raw", row["exchange_id"]) == self.sent) is wanted

    def _any_of(self, row: Row, wanted: list[Json]) -> None:
        assert any(self._holds(row, one) for one in wanted)

    def _holds(self, row: Row, expect: Json) -> bool:
        try:
            self.check_row(row, expect)
        except AssertionError:
            return False
        return True

    def _response(self, row: Row) -> Row:
        responses = self.database.responses(self.tenant)
        return next((one for one in responses if one["id"] == row["response_id"]), {})

    def _stored_calls(self, row: Row) -> Iterator[list[Json]]:
        response = self._response(row)
        if response:
            yield list(_item_calls(json.loads(response["response_object"])["output"]))
            yield list(_item_calls(json.loads(response["messages"])))
        result = json.loads(row["result"] or "{}")
        yield list(_item_calls(result.get("output") or []))
        for choice in result.get("choices") or []:
            yield [_chat_call(call) for call in choice["message"].get("tool_calls") or []]

    def _run(self, command: str, *arguments: str) -> bytes:
        options = [*self.source, "--tenant", self.tenant]
        done = CliRunner().invoke(main, [command, *options, *arguments])
        assert done.exit_code == 0, done.stderr
        return done.stdout_bytes


def _item_calls(items: list[Json]) -> Iterator[Json]:
    for item in items:
        if item.get("type") in _CALLS:
            yield item | {"id": item.get("call_id")}


def _chat_call(call: Json) -> Json:
    return {"id": call.get("id")} | (call.get("function") or call.get("custom") or {})


def _plain(text: str) -> str:
    return json.dumps(json.loads(text), ensure_ascii=False)
