"""Of a socket's messages only the newest stay, and never fewer than the last one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from mitmproxy.test import taddons
from mitmproxy.tools.dump import DumpMaster
from mitmproxy.tools.web.master import WebMaster

from response_store.addon import ResponseStore
from response_store.capture.websockets import SEEN, SEEN_BYTES, MessageTrimmer, count_kept_messages


def message(number: int, size: int = 10) -> SimpleNamespace:
    return SimpleNamespace(content=b"x" * size, number=number)


@pytest.mark.parametrize("keep", [1, 2, 50])
def test_the_newest_stay(keep: int) -> None:
    """However many come, the newest are there, and at most twice as many as asked for."""
    trimmer, messages = MessageTrimmer(), []
    for number in range(500):
        messages.append(message(number))
        trimmer.trim(messages, keep)
        assert messages[-1].number == number
        assert min(number + 1, keep) <= len(messages) <= 2 * keep
        assert [one.number for one in messages] == list(range(number + 1))[-len(messages) :]


def test_large_messages_go_earlier() -> None:
    """Messages that are large stay for less long, the last one always."""
    trimmer, messages = MessageTrimmer(), []
    for number in range(50):
        messages.append(message(number, SEEN_BYTES // 3))
        trimmer.trim(messages, SEEN)
        assert sum(len(one.content) for one in messages) <= 2 * SEEN_BYTES + SEEN_BYTES // 3
    messages.append(message(50, 3 * SEEN_BYTES))
    trimmer.trim(messages, SEEN)
    assert [one.number for one in messages] == [50]


OPTIONS = {"save_stream_file": None, "hardump": ""}
WHOLE = [{"save_stream_file": "flows"}, {"hardump": "all.har"}]


@pytest.mark.parametrize("options", WHOLE, ids=["flow file", "HAR"])
@pytest.mark.parametrize("master", [DumpMaster, WebMaster])
def test_all_stay_where_flows_are_written(master: type, options: dict[str, str]) -> None:
    """What mitmproxy writes at the end has every message."""
    shown = SimpleNamespace(**(OPTIONS | options))
    assert count_kept_messages(master.__new__(master), shown) is None


# Importing the console warns of what its libraries deprecate, so it is known by name alone.
CONSOLE = type("ConsoleMaster", (), {"__module__": "mitmproxy.tools.console.master"})


@pytest.mark.parametrize("master", [CONSOLE, WebMaster])
def test_some_stay_where_a_user_looks(master: type) -> None:
    """Programs that show flows keep a window of messages, mitmdump only the last."""
    shown = SimpleNamespace(**OPTIONS)
    assert count_kept_messages(master.__new__(master), shown) == SEEN
    assert count_kept_messages(DumpMaster.__new__(DumpMaster), shown) == 1


async def test_a_change_at_run_time_counts() -> None:
    """Whoever begins to write flows while the proxy runs gets whole ones from then on."""
    addon = ResponseStore()
    with taddons.context(addon) as context:
        for name, value in OPTIONS.items():
            context.options.add_option(name, str | None, value, "")
        before = addon._messages_kept()
        context.options.update(hardump="all.har")
        assert (before, addon._messages_kept()) == (SEEN, None)
