"""Stored responses in real databases, served over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from response_store.backends.postgres.reader import PostgresReader
from response_store.backends.sqlite.reader import SqliteReader
from response_store.backends.sqlite.store import SqliteStore
from response_store.config import Durability, SqliteTarget
from response_store.model.records import Change, Deletion
from response_store.queries.lookup import KeptReader, Pause
from response_store.queries.reader import Reader
from response_store.serving.answers import ServingReads, serve
from response_store.serving.http_response import ServedAnswer, build_deleted
from response_store.serving.request import (
    DeleteResponse,
    Fields,
    ServedResponse,
    StoreRequest,
    parse_request,
)
from tests.fakes.recordings import TAG
from tests.harness.database import write_empty
from tests.harness.ports import free_port
from tests.harness.postgres_shared import target_of
from tests.harness.records import NAMES


class SqliteShelf:
    """A SQLite store that is written and served. Rows go through the real store."""

    def __init__(self, path: Path) -> None:
        self._path = path
        write_empty(path)
        self._store = SqliteStore(SqliteTarget(path), NAMES, Durability.PROCESS)
        self._store.open()

    def write(self, *changes: Change) -> None:
        self._store.write(changes)

    def find(self, tenant: str, response_id: str, wanted: Fields) -> ServedResponse | None:
        return look_up(lambda: SqliteReader(self._path, NAMES), tenant, response_id, wanted)

    def close(self) -> None:
        self._store.close()


class ShelfAway:
    """A PostgreSQL store whose server is away."""

    def __init__(self) -> None:
        self._target = target_of(f"postgresql://u:p@127.0.0.1:{free_port()}/store?sslmode=disable")

    def find(self, tenant: str, response_id: str, wanted: Fields) -> ServedResponse | None:
        return look_up(lambda: PostgresReader(self._target, NAMES), tenant, response_id, wanted)


def look_up(make: Callable[[], Reader], *asked: Any) -> ServedResponse | None:
    """A response of a database that is opened for this alone."""
    kept = KeptReader(make, lambda: None, Pause())
    with closing(ServingReads(kept)) as reads:
        return reads.find(*asked)


def serve_from(shelf: SqliteShelf, tenant: str, asked: StoreRequest) -> ServedAnswer:
    """Answer a request, and delete what it asks to be deleted, as proxy and ingester do."""
    answer = serve(shelf, tenant, asked)
    if answer is None:
        assert isinstance(asked, DeleteResponse)
        shelf.write(Deletion(tenant, asked.id))
        return build_deleted(asked.id)
    return answer


@contextmanager
def serving(shelf: SqliteShelf) -> Iterator[str]:
    """A server that answers out of a store, and its URL. The tenant is in a header."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            wanted = parse_request(self.command, self.path)
            assert wanted is not None, self.path
            answer = serve_from(shelf, self.headers.get(TAG, "default"), wanted)
            self.send_response(answer.status)
            for name, value in (*answer.headers, ("content-length", str(len(answer.body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="serving")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
