"""mitmweb as a user has it: marks, comments, the content view and the commands of its bar."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from time import monotonic
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mitmproxy import version
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from tests.conftest import BY_TENANT
from tests.fakes import bodies
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_client import WebSocketClient
from tests.fakes.websocket_plays import usual
from tests.harness.browser import Browser, find_browser
from tests.harness.clients import CHAT, QUESTION, SECRET, asking, chatting, fetch, sdk
from tests.harness.ports import free_port
from tests.harness.proxy import DATABASE, Proxy, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer

KEY = "key-of-the-pages"
OK, FAILED = "\u2705", "\u26d4"
ANSWER = f"--- assistant\n{bodies.TEXT}"
TOKENS = "120 in (64 cached), 45 out"
NEW = int(version.VERSION.split(".", maxsplit=1)[0]) >= 12


class Web:
    """A mitmweb process, and its HTTP API, in which `Proxy` is the proxy that it has."""

    def __init__(self, proxy: Proxy, port: int) -> None:
        self.proxy = proxy
        self.url = f"http://127.0.0.1:{port}/?token={KEY}"
        token = {"X-XSRFToken": "ab" * 16}  # tornado wants to find it in a cookie as well
        cookies = dict.fromkeys(("_xsrf", "_mitmproxy_xsrf"), token["X-XSRFToken"])
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            params={"token": KEY} if NEW else {},
            headers=token,
            cookies=cookies,
        )

    def close(self) -> None:
        self.client.close()

    def flows(self, tenant: str) -> list[dict[str, Any]]:
        """The flows of a tenant, as the list of mitmweb has them."""
        flows = self.client.get("/flows").raise_for_status().json()
        return [flow for flow in flows if ["x-tenant", tenant] in flow["request"]["headers"]]

    def marked(self, tenant: str, count: int = 1, words: str = ", ") -> list[dict[str, Any]]:
        """The flows of a tenant, once so many of them have a comment with these words."""

        def there() -> list[dict[str, Any]]:
            flows = [flow for flow in self.flows(tenant) if words in flow["comment"]]
            return flows if len(flows) == count else []

        found: list[dict[str, Any]] = wait_until(there, f"{count} flows with a comment")
        return found

    def content(self, flow: dict[str, Any], part: str, view: str = "auto") -> Any:
        """What the content view shows; a list where the part is `messages`."""
        page = f"/flows/{flow['id']}/{part}/content/{view}"
        answer = self.client.get(page).raise_for_status().json()
        return [_told(one) for one in answer] if part == "messages" else _told(answer)

    def command(self, name: str, *arguments: str) -> Any:
        """Type a command into the command bar."""
        answer = self.client.post(f"/commands/{name}", json={"arguments": list(arguments)})
        return answer.raise_for_status().json()["value"]

    def logged(self, *words: str) -> str:
        """The message of the event log that has all these words, once it is there."""

        def there() -> str:
            events = self.client.get("/events").raise_for_status().json()
            texts = [event["message"] for event in events]
            return next((text for text in texts if all(word in text for word in words)), "")

        found: str = wait_until(there, f"{words} in the event log")
        return found


def _told(answer: dict[str, Any]) -> str:
    """The text of a content view, in mitmproxy 12's form or in 11's."""
    if "text" in answer:
        return str(answer["text"])
    return "\n".join("".join(text for _, text in line) for line in answer["lines"])


def pages(port: int) -> dict[str, Any]:
    """How a mitmweb is started whose pages are at that port."""
    options = {"web_open_browser": "false", "web_port": str(port)}
    columns: list[str] = []
    if NEW:
        options["web_password"] = KEY
        columns = [f"--set=web_columns={name}" for name in ("path", "comment", "status")]
    return {"program": "mitmweb", "options": options, "arguments": columns}


@pytest.fixture(scope="module")
def web(
    model_server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    """A mitmweb before the model server."""
    port = free_port()
    WebSocketSwitch(model_server, usual)
    mode = f"reverse:{model_server.url}"
    folder = tmp_path_factory.mktemp("web")
    with (
        Proxy(folder, authority=authority, mode=mode, config=BY_TENANT, **pages(port)) as proxy,
        closing(Web(proxy, port)) as web,
    ):
        yield web


def test_whole_and_streamed(web: Web, tenant: str) -> None:
    """Whole or streamed, an exchange gets a mark and a comment, and is shown as a conversation."""
    with sdk(web.proxy.url, tenant) as client:
        client.responses.create(model="gpt-5", input=QUESTION)
        assert list(client.responses.create(model="gpt-5", input=QUESTION, stream=True))
    flows = web.marked(tenant, 2)
    rows = web.proxy.database.all_ended(tenant, 2)
    for flow, row in zip(flows, rows, strict=True):
        assert flow["marked"] == OK
        assert flow["comment"].startswith(f"{row['output_tokens']} out ")
        assert flow["comment"].endswith(f"completed, {row['response_id']}")
        assert f"--- user\n{QUESTION}" in web.content(flow, "request")
        assert ANSWER in web.content(flow, "response")
        assert row["response_id"] in web.content(flow, "response", "openai")
        assert SECRET not in web.content(flow, "request")


def test_chat_completion(web: Web, tenant: str) -> None:
    """Chat completions are marked and shown as well."""
    fetch(web.proxy.port, chatting(stream=True), tenant, path=CHAT)
    (flow,) = web.marked(tenant)
    assert flow["marked"] == OK
    assert ANSWER in web.content(flow, "response")


def test_refusal(web: Web, tenant: str) -> None:
    """What was refused has another mark, and its error is told."""
    fetch(web.proxy.port, asking("refused-400"), tenant)
    (flow,) = web.marked(tenant)
    assert flow["marked"] == FAILED
    assert "refused (" in flow["comment"]
    assert "\nerror        " in "\n" + web.content(flow, "response")


def test_socket(web: Web, tenant: str) -> None:
    """A socket's flow tells its latest turn while it is open, and its messages are shown."""
    create = {"type": "response.create", "model": "gpt-5", "input": QUESTION}
    with WebSocketClient(web.proxy.port, tenant) as client:
        for turn in (1, 2):
            client.send(create)
            client.until("response.completed")
            web.marked(tenant, words=f"(turn {turn} of {turn})")
        client.close()
    (flow,) = web.marked(tenant)
    messages = web.content(flow, "messages")
    assert len(messages) == 4, "a card for each request, and for each answer"
    assert f"--- user\n{QUESTION}" in messages[0]
    assert ANSWER in messages[1]
    assert ANSWER in messages[3]
    assert len(web.content(flow, "messages", "raw")) > 10


def test_a_user_s_comment_stays(web: Web, tenant: str) -> None:
    """What a user writes on a flow is not overwritten when it is replayed."""
    fetch(web.proxy.port, asking(), tenant)
    (flow,) = web.marked(tenant)
    web.client.put(f"/flows/{flow['id']}", json={"comment": "mine"}).raise_for_status()
    web.client.post(f"/flows/{flow['id']}/replay").raise_for_status()
    web.proxy.database.all_ended(tenant, 2)
    web.proxy.flush()
    (flow,) = web.flows(tenant)
    assert (flow["marked"], flow["comment"]) == (OK, "mine")


def test_commands(web: Web) -> None:
    """The command bar lists, finds and shows what is stored; the answers are in the event log."""
    fetch(web.proxy.port, asking(), "default")
    row = web.proxy.database.ended("default")
    identifier = row["response_id"]
    assert web.command("responsestore.list") == "the answer comes in the event log"
    assert identifier in web.logged("the newest 10")
    web.command("responsestore.list", "1")
    assert "gpt-5" in web.logged("the newest 1\n")
    web.command("responsestore.find", identifier[:12], "GPT")
    assert identifier in web.logged(f"exchanges with {identifier[:12]} GPT")
    web.command("responsestore.show", identifier[:12])
    assert ANSWER in web.logged("--- assistant")
    web.command("responsestore.show", "resp_nothing")
    assert "response-store list" in web.logged("is not found for tenant")
    assert "give a word" in web.command("responsestore.find").lower()
    assert "written" in web.command("responsestore.status")
    offered = web.proxy.command("response_store.show.options")
    assert identifier in offered


def test_commands_without_a_list(make_proxy: MakeProxy) -> None:
    """mitmdump has the commands too, and marks nothing."""
    with make_proxy() as proxy:
        fetch(proxy.port, asking(), "default")
        identifier = proxy.database.ended("default")["response_id"]
        assert "event log" in proxy.command("response_store.show", identifier)
        wait_until(lambda: ANSWER in proxy.output(), "the conversation is in the log")
        assert proxy.command("response_store.show.options") == []


def test_commands_hold_nothing_up(make_proxy: MakeProxy) -> None:
    """While the database takes nothing, a command comes back at once, and traffic goes on."""
    with make_proxy(config={"completion_wait_ms": 0}) as proxy:
        fetch(proxy.port, asking(), "default")
        proxy.database.ended("default")
        with closing(sqlite3.connect(proxy.folder / DATABASE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            fetch(proxy.port, asking(), "default")
            before = monotonic()
            assert "event log" in proxy.command("response_store.list")
            assert monotonic() - before < 1.9  # a record that waits is waited for, 2 s long
            wait_until(lambda: "may be missing here" in proxy.output(), "what is known is told")


def test_saved_flows(make_proxy: MakeProxy, tenant: str) -> None:
    """What mitmweb saves can be read again.

    With `acknowledge: database` a whole answer is saved with its mark.
    """
    how = pages(free_port()) | {"arguments": ["-w", "saved"]}
    patient = BY_TENANT | {"completion_wait_ms": 20_000, "acknowledge": "database"}
    with make_proxy(config=patient, **how) as proxy:
        for streamed in (False, True):
            fetch(proxy.port, asking(stream=streamed), tenant)
        whole, _ = proxy.database.all_ended(tenant, 2)
        proxy.terminate()
        with (proxy.folder / "saved").open("rb") as file:
            saved = list(FlowReader(file).stream())
    flow, streamed_flow = [one for one in saved if isinstance(one, HTTPFlow) and one.response]
    assert flow.marked == ":white_check_mark:"
    assert flow.comment.endswith(whole["response_id"])
    assert streamed_flow.response is not None
    assert b"response.completed" in (streamed_flow.response.content or b"")


BROWSER = find_browser()


@pytest.mark.skipif(
    BROWSER is None,
    reason="no Chromium: set TEST_CHROMIUM to one, or put it on PATH, to look at the real page",
)
@pytest.mark.skipif(not NEW, reason="mitmweb has a comment column from version 12 on")
def test_in_a_browser(web: Web, tenant: str, tmp_path: Path) -> None:
    """A browser shows the mark, the comment, and the conversation of a flow."""
    assert BROWSER is not None
    fetch(web.proxy.port, asking(stream=True), tenant)
    (flow,) = web.marked(tenant)
    page = f"{web.url}#/flows/{flow['id']}/response"
    with Browser(BROWSER, tmp_path) as browser:
        browser.open(page)
        seen = [OK, flow["comment"], *ANSWER.splitlines()]
        wait_until(lambda: all(part in browser.text() for part in seen), f"{seen} on the page")
