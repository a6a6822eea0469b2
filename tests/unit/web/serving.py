"""A real server in a thread of its own, and a client that has its key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from response_store.backends.registry import open_index
from response_store.cli.source import find_source
from response_store.search.index import index_missing
from response_store.web.beside import serve_beside

if TYPE_CHECKING:
    from pathlib import Path

    from response_store.web.access import Access


@dataclass
class Served:
    """A server that runs. `client` has the cookie; its addresses begin at the pages' path."""

    access: Access
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        origin = self.access.url.split(self.access.path)[0]
        self.origin = origin
        self.client = httpx.Client(base_url=origin + self.access.path, trust_env=False)
        welcome = self.client.get(self.access.url)
        assert welcome.status_code == 303, welcome.text

    def get(self, page: str, /, **arguments: str) -> str:
        """A page that is there."""
        answer = self.client.get(page, params=arguments)
        assert answer.status_code == 200, answer.text
        return answer.text


@contextmanager
def serving(config: Path | None, database: Path | None = None) -> Iterator[Served]:
    """Serve a database for the time of a block."""
    source = find_source(config, database)
    with closing(open_index(source.target, source.tables)) as index:
        for _ in index_missing(index):
            pass
    with serve_beside(source) as access:
        served = Served(access)
        yield served
        served.client.close()
