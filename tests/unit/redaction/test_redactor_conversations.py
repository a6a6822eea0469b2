"""Conversations without their secrets."""

from __future__ import annotations

import json

from response_store.diagnostics import Counters
from response_store.model.records import ConversationChange, Record
from response_store.model.zstd import Compressor
from response_store.redaction.known import KNOWN
from response_store.redaction.patterns import Patterns
from response_store.redaction.redactor import Redactor
from tests.harness.records import record
from tests.unit.redaction.keys import KEYS

KEY = KEYS["anthropic"]


def redacted(change: ConversationChange) -> ConversationChange:
    """Return a change as it goes to the store."""
    redaction = Redactor(Patterns(KNOWN, {}), Compressor().frame, Counters())
    made = redaction.redact_record(Record(record("e1").exchange, conversation=change))
    assert isinstance(made, Record)
    assert made.conversation is not None
    return made.conversation


def test_items_and_metadata() -> None:
    """A key in an item or in metadata is taken out; what stands around it stays."""
    text, metadata = json.dumps({"text": f"use {KEY} now"}), json.dumps({"key": KEY})
    change = ConversationChange("t1", "c1", 5, metadata=metadata, items=(text, '{"text":"b"}'))
    made = redacted(change)
    assert KEY not in repr(made)
    assert json.loads(made.items[0])["text"].startswith("use ")
    assert made.items[1] == '{"text":"b"}'


def test_a_clean_one_stays() -> None:
    """Without a secret nothing changes."""
    change = ConversationChange("t1", "c1", 5, metadata="{}", items=('{"text":"b"}',))
    assert redacted(change) == change
