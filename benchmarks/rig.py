"""The test rig of one run: an upstream, a load generator, a folder, and as many proxies as asked.

All of them are processes of their own; leaving the rig ends them and removes the folder. When a
proxy with the addon has ended, its database must hold a row for each exchange of the client.
"""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.control import Child
from benchmarks.places import make_folder
from benchmarks.processes import cpu_seconds
from benchmarks.proxy import Proxy, live_proxy
from benchmarks.sides import Side

CONNECTIONS = 16
WARM_UP_EXCHANGES = 200


class Rig:
    """Upstream, client and folder; `proxies` adds live proxies beside each other."""

    def __init__(self, folder: Path | None = None) -> None:
        self._stack = ExitStack()
        self._wanted = folder
        self._numbers = itertools.count(1)
        self._done: Counter[Path] = Counter()  # exchanges, by the proxy's folder
        self.complaints: list[str] = []

    def __enter__(self) -> Self:
        self.folder = make_folder(self._wanted)
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._upstream = self._stack.enter_context(Child("upstream"))
        self._client = self._stack.enter_context(Child("client"))
        self.upstream_port = int(self._upstream.listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @contextmanager
    def proxies(self, *sides: Side, **options: Any) -> Iterator[list[Proxy]]:
        """Live proxies, side by side, each with a fresh folder and database."""
        with ExitStack() as stack:
            yield [stack.enter_context(self.proxy(side, **options)) for side in sides]

    @contextmanager
    def proxy(self, side: Side, **options: Any) -> Iterator[Proxy]:
        """One live proxy; options as for `live_proxy`."""
        folder = self.folder / f"proxy-{next(self._numbers)}"
        with live_proxy(side, upstream=self.upstream_port, folder=folder, **options) as proxy:
            yield proxy
            side.settle(folder)
        # Figures of a capture that captures nothing would be fine ones, and worthless.
        if complaint := side.complaint(folder, self._done[folder]):
            self.complaints.append(f"{side.name}: {complaint}")

    def count(self, proxy: Proxy, exchanges: int) -> None:
        """Note exchanges that went through a proxy without this rig's client."""
        self._done[proxy.folder] += exchanges

    def exchanges(self, proxy: Proxy) -> int:
        """How many exchanges a proxy has had, on connections that are closed."""
        return self._done[proxy.folder]

    @contextmanager
    def connected(
        self,
        proxies: Sequence[Proxy],
        kind: str,
        connections: int = CONNECTIONS,
        warm_up: int = WARM_UP_EXCHANGES,
        label: str = "",
    ) -> Iterator[None]:
        """Keep-alive connections to each proxy, warm; the client knows them by name and label."""
        for proxy in proxies:
            name = proxy.name + label
            self.client(do="open", name=name, port=proxy.port, kind=kind, connections=connections)
            self.client(do="count", name=name, exchanges=warm_up)
        yield  # an error ends the run, and the client with it: it may be busy for long
        for proxy in proxies:
            self._done[proxy.folder] += self.client(do="close", name=proxy.name + label)

    def client(self, timeout: float = 60.0, **command: Any) -> Any:
        """Have the load generator do something, and wait for the figures."""
        return self._client.ask(timeout, **command)

    def tell_client(self, **command: Any) -> None:
        """Have the load generator do something; `client_answer` waits for the figures."""
        self._client.tell(**command)

    def client_answer(self, timeout: float = 60.0) -> Any:
        """The figures of the last `tell_client`."""
        return self._client.listen(timeout)

    def cpu_seconds(self) -> tuple[float, float]:
        """CPU time so far of the upstream and of the load generator."""
        return cpu_seconds(self._upstream.pid), cpu_seconds(self._client.pid)
