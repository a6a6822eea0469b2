"""One tenant asks for what is another's, on every way there is."""

from __future__ import annotations

import json
import re
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.testing import CliRunner

from response_store.cli import main
from tests.acceptance.served import WAYS, asked_of, create, created, get
from tests.harness.clients import asking, fetch, sdk

if TYPE_CHECKING:
    from click.testing import Result

    from tests.fakes.model_server import ModelServer
    from tests.harness.proxy import Proxy

ENDINGS = ["", "?stream=true", "/input_items", "/", "/input_items/?limit=1", "?api-version=1"]
ASKING = [*(("GET", after) for after in ENDINGS), ("DELETE", ""), ("DELETE", "/")]
OWN = "mine alone"
OTHERS = "question 7"  # stands in what the others ask

# What needs no tenant: it reads no row of anybody, or is about those of all. `web` runs until it is
# stopped, and `redact` wants patterns: tests of their own walk them.
EXEMPT = {
    "backup", "completion", "config", "dead-letters", "flush", "import", "redact", "run",
    "script-path", "status", "web",
}  # fmt: skip


class Trespasser:
    """A tenant with one response of its own, beside one that has several."""

    def __init__(self, proxy: Proxy, server: ModelServer, owner: str) -> None:
        self.proxy, self.server, self.owner = proxy, server, owner
        self.name = f"{owner}-other"
        with sdk(proxy.url, owner) as client:
            self.theirs = [create(client, owner, way) for way in WAYS]
        self.mine = created(proxy, self.name, items=OWN)
        fetch(proxy.port, asking(input=OWN, previous_response_id=self.theirs[0]), self.name)
        proxy.flush()

    def asks(self) -> None:
        """Every request is answered as if the response had never been there."""
        for name in self.theirs:
            for method, after in ASKING:
                replies = [
                    get(self.proxy, self.name, f"{one}{after}", method)
                    for one in (name, name + "x")
                ]
                told = [
                    bytes(one.body).replace(f"{name}x".encode(), name.encode()) for one in replies
                ]
                assert [one.status for one in replies] == [404, 404]
                assert told[0] == told[1]
        assert asked_of(self.server, self.name) == []

    def runs_commands(self, folder: Path) -> None:
        """No command shows, counts, copies or removes anything of the other."""
        commands = self._commands(folder)
        assert {name for name in _names() if name not in EXEMPT} == {name for name, _ in commands}
        for name, options in commands:
            result = self._run(name, *options)
            # What one names oneself, in a request of one's own, is one's own.
            said = re.sub(r'"previous_response_id": ?"[^"]*"', "", result.output)
            for one in self.theirs:
                assert one not in said.replace(f"'{one}'", ""), (name, options)
            assert OTHERS not in said, (name, options)
            shown = name in ("show", "diff") and options[0] != self.mine
            assert (result.exit_code != 0) is shown, (name, options, said)
        assert json.loads(self._run("list", "--json").output)["exchanges"] == []
        copied = (folder / "copy.db").read_bytes() + (folder / "all.jsonl").read_bytes()
        assert OWN.encode() in copied
        assert OTHERS.encode() not in copied

    def left_them_alone(self) -> None:
        """Whose they are still has them, one and all."""
        for name in self.theirs:
            answers = [get(self.proxy, self.owner, f"{name}{after}").status for after in ENDINGS]
            assert answers == [200] * len(ENDINGS)
        listed = self._run("list", "--json", tenant=self.owner).output
        assert {one["response_id"] for one in json.loads(listed)["exchanges"]} == {*self.theirs}

    def _commands(self, folder: Path) -> list[tuple[str, list[str]]]:
        """What is run, in this order: the last removes what there is."""
        shows = [
            [one, *how] for one in self.theirs for how in ([], ["--json"], ["--raw"], ["--thread"])
        ]
        return [
            ("list", ["--json"]),
            ("list", []),
            *(("show", show) for show in shows),
            ("show", [self.mine]),
            ("show", [self.mine, "--thread"]),
            ("diff", [self.theirs[0], self.mine]),
            ("diff", [self.mine, self.mine]),
            ("search", ["question"]),
            ("search", ["question", "--json"]),
            ("stats", ["--json"]),
            ("tail", ["--json"]),
            ("export", ["--output", str(folder / "all.jsonl")]),
            ("copy", ["--to", str(folder / "copy.db")]),
            ("prune", ["--older-than", "0s", "--yes", "--no-vacuum"]),
        ]

    def _run(self, name: str, *options: str, tenant: str | None = None) -> Result:
        where = ["--config", str(self.proxy.folder / "config.yaml")]
        arguments = [name, *options, *where, "--tenant", tenant or self.name]
        with chdir(self.proxy.folder):
            return CliRunner().invoke(main, arguments)


def _names() -> list[str]:
    return main.list_commands(click.Context(main))
