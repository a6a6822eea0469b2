"""Play what real clients sent through a proxy again, several at once, and tell what rows it makes.

`mixes/NAME.jsonl` has what one client sent and was answered, a line a request, in the order in
which it passed: Codex 0.171 over sockets and over SSE, opencode 1.18, llm 0.36, openai-agents 0.24
and aider 0.86, each with a model that did what its prompts said. Texts of the clients' own, which
are long, and ids are replaced; of tools one is left. `mixes/NAME.txt` has the rows that shall come
of it, a line each: number, parent, session, agent and question.
"""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fakes.answers import PLAIN, Answer, Stream, json_answer
from tests.fakes.dialects import CHAT
from tests.fakes.websocket_client import WebSocketClient
from tests.harness.clients import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fakes.model_server import ModelServer
    from tests.fakes.websocket import Scenario, ServerSocket, WebSocketSwitch
    from tests.harness.database import Row
    from tests.harness.proxy import Proxy

FOLDER = Path(__file__).with_name("mixes")
NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))
Json = dict[str, Any]


class Line(NamedTuple):
    """One line of a client's."""

    client: str
    content: Json


def interleave() -> Iterator[Line]:
    """Yield the lines of all clients, one of each in turn."""
    for lines in zip_longest(*map(_read, NAMES)):
        yield from filter(None, lines)


def _read(client: str) -> list[Line]:
    text = (FOLDER / f"{client}.jsonl").read_text(encoding="utf-8")
    return [Line(client, json.loads(line)) for line in text.splitlines()]


def read_expected(client: str) -> list[str]:
    """Return the rows that shall come of a client's requests."""
    return (FOLDER / f"{client}.txt").read_text(encoding="utf-8").splitlines()


def play(proxy: Proxy, tenant: str, server: ModelServer, switch: WebSocketSwitch) -> list[str]:
    """Play all clients, and return whose each exchange is."""
    lines = [*interleave()]
    sockets: dict[tuple[str, int], WebSocketClient] = {}
    owners = []
    for client, line in lines:
        headers = {name.replace("-", "_"): text for name, text in line.get("headers", {}).items()}
        place = (client, line.get("socket", 0))
        if "request" not in line:
            scenario = switch.play(_answer_socket([one for one in lines if _is_at(one, place)]))
            sockets[place] = WebSocketClient(proxy.port, tenant, scenario=scenario, **headers)
            continue
        owners.append(client)
        if place in sockets:
            sockets[place].send(line["request"])
            sockets[place].until("response.completed")
        else:
            scenario = server.play(_build_answer(line))
            headers |= {"path": line["path"], "x_scenario": scenario}
            assert fetch(proxy.port, line["request"], tenant, **headers).whole
    for socket in sockets.values():
        socket.close()
    return owners


def _is_at(line: Line, place: tuple[str, int]) -> bool:
    return (line.client, line.content.get("socket")) == place and "request" in line.content


def _answer_socket(lines: Sequence[Line]) -> Scenario:
    async def answer(socket: ServerSocket) -> None:
        for line in lines:
            await socket.receive()
            await socket.send(*line.content["answer"])
        await socket.receive()

    return answer


def _build_answer(line: Json) -> Answer:
    if "answer" in line:
        return json_answer(line["answer"])
    stream = Stream(dialect=CHAT) if line["path"].endswith("completions") else PLAIN
    return stream.answer(line["events"])


def describe_rows(rows: Sequence[Row], owners: Sequence[str], client: str) -> list[str]:
    """Return what a client's rows say, as `read_expected` does.

    A session without a name of its own is called by the number of its first exchange.
    """
    own = [row for row, owner in zip(rows, owners, strict=True) if owner == client]
    numbers = {row["exchange_id"]: str(at) for at, row in enumerate(own, 1)}
    return [
        " | ".join(
            (
                numbers[row["exchange_id"]],
                numbers.get(row["parent_exchange_id"], row["parent_exchange_id"] or "-"),
                numbers.get(row["session_id"], row["session_id"]),
                row["agent"] or "-",
                row["question"] or "-",
            )
        )
        for row in own
    ]
