"""Find out where an exchange stands in its conversation, by its content.

What is compared are digests of texts, and by a digest a short secret can be guessed. So where a
redactor has found something, they are made of what it has left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import Raw, Struct
from msgspec.structs import replace

from response_store.ingest.draft import ReadRequest, Request
from response_store.ingest.result_state import ClassifiedResponse
from response_store.model.records import Api, Record, State
from response_store.openai_api.context import (
    EMPTY,
    Context,
    read_answer,
    read_input,
    slice_messages,
)
from response_store.openai_api.question import PLAIN_CHARS

Redact: TypeAlias = Callable[[bytes], bytes | None]
"""Returns a JSON text without secrets; None where it can't be searched."""


class ConversationTexts(Struct, frozen=True):
    """What is read of an exchange: the items of its input, and those of an answer that ended well.

    Where the request names a response or a conversation, the input has only what is new.
    `replaces`: what goes on from here begins with the answer alone.
    """

    input: bytes
    answer: Sequence[bytes | Raw] | None = None
    names_response: bool = False
    names_conversation: bool = False
    replaces: bool = False

    def redact(self, redact: Redact) -> ConversationTexts | None:
        """Return the texts without secrets; None where one of them can't be searched."""
        texts = [redact(bytes(text)) for text in (self.input, *(self.answer or ()))]
        clean = [text for text in texts if text is not None]
        if len(clean) < len(texts):
            return None
        return replace(self, input=clean[0], answer=None if self.answer is None else clean[1:])


class ConversationPlace(Struct, frozen=True):
    """Where an exchange stands in its conversation.

    `beginnings` and `digest` are what it may continue, and what may continue it; `pieces` are there
    where the digest goes on from that of what the request names. `answers`, `quotes` and `answer`
    are texts of answers, in the same way.
    """

    question: str | None = None
    beginnings: tuple[str, ...] = ()
    digest: str | None = None
    pieces: tuple[bytes, ...] | None = None
    answers: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    answer: str | None = None

    def add_to(self, record: Record) -> Record:
        """Return a record with what it may continue."""
        if self.pieces is None and not (self.beginnings or self.answers or self.quotes):
            return record
        return replace(
            record,
            beginnings=self.beginnings,
            pieces=self.pieces,
            answers=self.answers,
            quotes=self.quotes,
        )


NO_PLACE = ConversationPlace()
_WITH_INPUT = (Api.RESPONSES, Api.CHAT_COMPLETIONS)
_WHOLE = (State.COMPLETED, State.INCOMPLETE)


def select_texts(
    facts: Request, request: ReadRequest, classified: ClassifiedResponse
) -> ConversationTexts | None:
    """Return what shows where an exchange stands; None where nothing does."""
    outcome = classified.outcome
    names_response = bool(request.previous_response_id)
    if facts.api is Api.RESPONSES_COMPACT:
        return ConversationTexts(
            request.input, outcome.items or None, names_response=names_response, replaces=True
        )
    if facts.target_response_id is not None or facts.api not in _WITH_INPUT:
        return None
    names_conversation = request.conversation_id is not None
    if names_conversation or classified.state not in _WHOLE:
        return ConversationTexts(
            request.input, names_response=names_response, names_conversation=names_conversation
        )
    items = outcome.items or slice_messages(outcome.partial or b"")
    return ConversationTexts(request.input, items, names_response=names_response)


_MAX_OPEN = 64  # exchanges whose input is not read again at their end


class PlaceFinder:
    """Finds places, and reads the input of an exchange that is open once. Not thread-safe."""

    def __init__(self, question_chars: int = PLAIN_CHARS) -> None:
        self._question_chars = question_chars
        self._open: dict[str, Context] = {}

    def find(self, exchange_id: str, texts: ConversationTexts | None) -> ConversationPlace:
        """Return where the exchange of these texts stands."""
        if texts is None:
            return NO_PLACE
        context = self._open.pop(exchange_id, None) if self._open else None
        return _build_place(texts, context or read_input(texts.input, self._question_chars))

    def find_open(self, exchange_id: str, texts: ConversationTexts | None) -> ConversationPlace:
        """Return where an exchange stands that has not ended."""
        if texts is None:
            return NO_PLACE
        context = read_input(texts.input, self._question_chars)
        self._open[exchange_id] = context
        if len(self._open) > _MAX_OPEN:
            del self._open[next(iter(self._open))]
        return _build_place(texts, context)


def _build_place(texts: ConversationTexts, context: Context) -> ConversationPlace:
    """Return where the exchange of these texts stands, whose input says `context`."""
    place = ConversationPlace(context.question)
    if not texts.names_conversation:
        place = ConversationPlace(
            context.question, context.beginnings, answers=context.answers, quotes=context.quotes
        )
    if texts.answer is None:
        return place
    whole = read_answer(EMPTY if texts.replaces else context, texts.answer)
    answer = next(iter(whole.answers), None)
    if texts.names_response and not (texts.replaces or whole.rooted):
        return replace(place, pieces=whole.pieces, answer=answer)
    return replace(place, digest=whole.digest, answer=answer)
