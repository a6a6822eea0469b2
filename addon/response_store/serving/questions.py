"""The ingester's side of serving: it looks up responses and builds answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from response_store.config import Config, Serve
from response_store.serving.request import parse_request
from response_store.serving.serve import serve, serve_if_better
from response_store.serving.service import StoreQuery, StoreReply, encode
from response_store.store.serving_reads import ServingReads, build_serving_reads

if TYPE_CHECKING:
    from response_store.serving.answer import ServedAnswer

_decode_query = msgspec.msgpack.Decoder(StoreQuery).decode


class ServeQuestions:
    """Answers questions of the kind `serve`. For one thread; it opens nothing before the first."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._reads: ServingReads | None = None

    def answer(self, arguments: bytes) -> bytes:
        """Return the reply to a question."""
        query = _decode_query(arguments)
        request = parse_request(query.method, query.path)
        if request is None:
            return encode(StoreReply(None))
        if self._reads is None:
            self._reads = build_serving_reads(self._config)
        answer_of = serve_if_better if query.mode == Serve.PREFER.value else serve
        return _encode_reply(answer_of(self._reads, query.tenant, request))

    def close(self) -> None:
        """Close what is open. Idempotent."""
        reads, self._reads = self._reads, None
        if reads is not None:
            reads.close()


def _encode_reply(answer: ServedAnswer | None) -> bytes:
    if answer is None:
        return encode(StoreReply(None))
    return encode(StoreReply(answer.status, answer.headers, answer.body))
