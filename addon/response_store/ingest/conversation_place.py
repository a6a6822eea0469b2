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
from response_store.model.records import Api, State
from response_store.openai_api.context import ContextReader, slice_messages

Redact: TypeAlias = Callable[[bytes], bytes | None]
"""Returns a JSON text without secrets; None where it can't be searched."""


class ConversationTexts(Struct, frozen=True):
    """What is read of an exchange: the items of its input, and those of an answer that ended well.

    `is_named`: the input has only what is new, as the request names what it continues. `replaces`:
    what goes on from here begins with the answer alone.
    """

    input: bytes
    answer: Sequence[bytes | Raw] | None = None
    is_named: bool = False
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

    `beginnings` and `digest` are what it may continue, and what may continue it.
    """

    question: str | None = None
    beginnings: tuple[str, ...] = ()
    digest: str | None = None


NO_PLACE = ConversationPlace()
_WITH_INPUT = (Api.RESPONSES, Api.CHAT_COMPLETIONS)
_WHOLE = (State.COMPLETED, State.INCOMPLETE)


def select_texts(
    facts: Request, request: ReadRequest, classified: ClassifiedResponse
) -> ConversationTexts | None:
    """Return what shows where an exchange stands; None where nothing does."""
    outcome = classified.outcome
    if facts.api is Api.RESPONSES_COMPACT:
        return ConversationTexts(request.input, outcome.items, replaces=True)
    if facts.target_response_id is not None or facts.api not in _WITH_INPUT:
        return None
    if request.previous_response_id or request.conversation_id:
        return ConversationTexts(request.input, is_named=True)
    if classified.state not in _WHOLE:
        return ConversationTexts(request.input)
    items = outcome.items or slice_messages(outcome.partial or b"")
    return ConversationTexts(request.input, items)


def find_place(texts: ConversationTexts | None) -> ConversationPlace:
    """Return where the exchange of these texts stands."""
    if texts is None:
        return NO_PLACE
    reader = ContextReader()
    context = reader.read_input(texts.input)
    if texts.replaces:
        reader = ContextReader()
    digest = None if texts.answer is None else reader.read_answer(texts.answer)
    return ConversationPlace(context.question, () if texts.is_named else context.beginnings, digest)
