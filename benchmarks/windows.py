"""Windows of load on live proxies, in an order that lets drift cancel.

A round visits every side there and back (A B C, C B A), so that each side has the same mean place
in time; the next round begins with another side. Values of the same half round are compared with
each other: they are seconds apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from benchmarks.proxy import Proxy
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.spread import percentile

Item = TypeVar("Item")


@dataclass
class Windows:
    """The windows of one side, in order. CPU times are seconds an exchange, of the proxy's process.

    They are taken when the database has every record, the rate when every client has its answer.
    """

    rate: list[float] = field(default_factory=list)  # exchanges a second
    cpu: list[float] = field(default_factory=list)
    ingester_cpu: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)  # CPU time over wall time: 1 is one core
    later_cpu: list[float] = field(default_factory=list)  # of both, after it, for the search index
    upstream_cpu: list[float] = field(default_factory=list)
    client_cpu: list[float] = field(default_factory=list)
    server_cpu: list[float] = field(default_factory=list)  # of a database server
    behind: list[float] = field(default_factory=list)  # frames on their way at the end
    first: list[float] = field(default_factory=list)  # median seconds to the first event
    p50: list[float] = field(default_factory=list)  # seconds to the end
    p95: list[float] = field(default_factory=list)

    @property
    def both_cpu(self) -> list[float]:
        """Return the CPU times of the proxy and its ingester together."""
        return [one + other for one, other in zip(self.cpu, self.ingester_cpu, strict=True)]

    def as_dict(self) -> dict[str, list[float]]:
        return {name: [round(value, 7) for value in values] for name, values in vars(self).items()}


def there_and_back(items: Sequence[Item], rounds: int) -> Iterator[Item]:
    """The order of visits: `rounds` times each way, each round beginning one item later."""
    for number in range(rounds):
        turn = number % len(items)
        order = [*items[turn:], *items[:turn]]
        yield from order
        yield from reversed(order)


def measure(rig: Rig, proxies: Sequence[Proxy], settings: Settings) -> dict[str, Windows]:
    """Load each proxy in turn; its connections are open already."""
    found = {proxy.name: Windows() for proxy in proxies}
    for proxy in there_and_back(proxies, settings.rounds):
        one_window(rig, proxy, settings.seconds, found[proxy.name])
    return found


def one_window(rig: Rig, proxy: Proxy, seconds: float, into: Windows) -> None:
    """Load one proxy for one window, and note its figures."""
    before, (upstream, client) = proxy.cpu_seconds(), rig.cpu_seconds()
    ingester = proxy.ingester_cpu_seconds()
    server = proxy.side.server_cpu_seconds()
    figures: dict[str, Any] = rig.client(
        timeout=seconds + 60, do="window", name=proxy.name, seconds=seconds
    )
    done, elapsed = figures["done"], figures["elapsed"]
    into.rate.append(done / elapsed)
    into.busy.append((proxy.cpu_seconds() - before) / elapsed)
    into.behind.append(proxy.behind())
    proxy.settle()
    used, (upstream_after, client_after) = proxy.cpu_seconds() - before, rig.cpu_seconds()
    into.cpu.append(used / done)
    into.ingester_cpu.append((proxy.ingester_cpu_seconds() - ingester) / done)
    into.server_cpu.append((proxy.side.server_cpu_seconds() - server) / done)
    into.upstream_cpu.append((upstream_after - upstream) / done)
    into.client_cpu.append((client_after - client) / done)
    into.first.append(percentile(figures["first"], 0.5))
    into.p50.append(percentile(figures["total"], 0.5))
    into.p95.append(percentile(figures["total"], 0.95))
    settled = proxy.cpu_seconds() + proxy.ingester_cpu_seconds()
    proxy.rest()
    rested = proxy.cpu_seconds() + proxy.ingester_cpu_seconds()
    into.later_cpu.append((rested - settled) / done)
