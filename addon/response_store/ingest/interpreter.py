"""Turn the frames of a journal, in order, into changes of the database.

What later frames need of earlier ones is held as places in the journal, and built from there
again by `replay`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from itertools import chain
from typing import TypeVar

import msgspec

from response_store.capture.draft import DeletionHead
from response_store.ingest.background import Key, build_deletion
from response_store.ingest.delivery import Batch, PendingChange
from response_store.ingest.draft import Draft
from response_store.ingest.exchanges import (
    ExchangeDraft,
    OpenExchange,
    OpenExchanges,
    RecordHead,
    decode_change,
    decode_head,
    read_record_head,
)
from response_store.ingest.record_builder import RecordBuilder
from response_store.journal.errors import DamagedFrameError
from response_store.journal.frames import Frame, FrameKind, FrameRef
from response_store.model.records import Change, Deletion, EndedBy, Record, State
from response_store.openai_api.endpoints import Skip

T = TypeVar("T")

_read_deletion_head = msgspec.msgpack.Decoder(DeletionHead).decode


class Interpreter:
    """Interprets the frames of one journal, each once and in order. For one thread.

    `read` returns a frame and raises DamagedFrameError; what can't be read is counted.
    """

    def __init__(self, builder: RecordBuilder, read: Callable[[FrameRef], Frame]) -> None:
        self._builder = builder
        self._read = read
        self._exchanges = OpenExchanges(read)
        self._unwritten: dict[int, int] = {}  # key and seq of what this batch opens
        self._held: dict[str, list[FrameRef]] = {}  # of streams that may be resumed
        self._deletions: dict[Key, list[FrameRef]] = {}
        self._stop: FrameRef | None = None
        # Ends, and the segments in which more of their exchanges lies: read again without its end
        # an exchange would be open.
        self._ends: dict[FrameRef, frozenset[str]] = {}

    def apply(self, ref: FrameRef, batch: Batch) -> None:
        """Add to a batch what a frame brings. Raises OSError where it can't be read now."""
        try:
            match ref.kind:
                case FrameKind.OPEN:
                    self._exchanges.begin(ref)
                    self._open_later(ref, batch)
                case FrameKind.PART:
                    self._exchanges.add_part(ref)
                case FrameKind.END:
                    before = self._builder.incomplete
                    _add_change(batch, ref.seq, *self._end(ref, self._builder.build))
                    if self._builder.incomplete > before:
                        batch.count("incomplete")
                case FrameKind.STOP:
                    self._interrupt(ref, batch)
                case FrameKind.DELETION:
                    _add_change(batch, ref.seq, *self._delete(ref, self._builder.build))
                case FrameKind.RECORD:
                    self._apply_record(ref, batch)
        except DamagedFrameError:
            batch.count("dropped.damaged")

    def replay(self, ref: FrameRef) -> None:
        """Build from a frame that was applied before what later ones need of it."""
        try:
            match ref.kind:
                case FrameKind.OPEN:
                    self._exchanges.begin(ref)
                case FrameKind.PART:
                    self._exchanges.add_part(ref)
                case FrameKind.END:
                    self._end(ref, self._builder.replay)
                case FrameKind.STOP:
                    self._stop = ref
                    self._exchanges.interrupt()
                case FrameKind.DELETION:
                    self._delete(ref, self._builder.replay)
                case FrameKind.RECORD:
                    self._record(ref)
        except DamagedFrameError:  # what it belonged to was dropped, as nobody needs it
            pass

    def close(self, batch: Batch) -> None:
        """Add the rows of the exchanges that the frames of a batch have opened and not ended."""
        opened: list[PendingChange] = []
        for key, seq in self._unwritten.items():
            try:
                opened += self._open_row(key, seq)
            except DamagedFrameError:
                batch.count("dropped.damaged")
        self._unwritten.clear()
        if opened:
            batch.items = deque(sorted((*batch.items, *opened), key=lambda item: item.seq))

    @property
    def has_opened(self) -> bool:
        """Return whether `close` has rows to add."""
        return bool(self._unwritten)

    @property
    def has_open(self) -> bool:
        """Return whether exchanges are open that were not interrupted."""
        return self._exchanges.has_uninterrupted

    def needed(self, segments: Collection[str]) -> list[FrameRef]:
        """Return the frames that have to be replayed after a restart; `segments` are all."""
        held, tombstones = self._builder.held_exchanges, self._builder.tombstones
        self._held = {name: refs for name, refs in self._held.items() if name in held}
        self._deletions = {key: refs for key, refs in self._deletions.items() if key in tombstones}
        existing = frozenset(segments)
        self._ends = {end: left for end, all_ in self._ends.items() if (left := all_ & existing)}
        stop = [self._stop] if self._stop is not None else []
        lists = chain.from_iterable((*self._held.values(), *self._deletions.values()))
        return [*{*self._exchanges.refs(), *lists, *self._ends, *stop}]

    def relocate(self, moved: Mapping[FrameRef, FrameRef]) -> None:
        """Note that frames lie somewhere else now."""
        if not moved:
            return
        self._exchanges.relocate(moved)
        for lists in (self._held, self._deletions):
            for refs in lists.values():
                refs[:] = [moved.get(ref, ref) for ref in refs]
        self._ends = {moved.get(end, end): segments for end, segments in self._ends.items()}
        if self._stop is not None:
            self._stop = moved.get(self._stop, self._stop)

    def _end(self, ref: FrameRef, use: Callable[[Draft], T]) -> tuple[ExchangeDraft, T]:
        """Return the exchange that a frame ends, and what `use` makes of it."""
        frame = self._read(ref)
        refs = self._close(ref)
        ended = self._exchanges.end(frame)
        del frame  # it may have megabytes
        used = use(ended.draft)
        if not _is_whole(used):
            self._hold(ended.draft, refs)
        return ended, used

    def _delete(self, ref: FrameRef, use: Callable[[Draft], T]) -> tuple[ExchangeDraft, T]:
        head = decode_head(_read_deletion_head, self._read(ref).head)
        draft = build_deletion(head.tenant_id, head.response_id, head.at)
        used = use(draft)
        self._hold(draft, [ref])
        return ExchangeDraft("", 0, draft), used

    def _close(self, end: FrameRef) -> list[FrameRef]:
        """Return all frames of an exchange that has ended."""
        before = self._exchanges.refs_of(end.key)
        if not before:
            return [end]
        elsewhere = frozenset(ref.segment for ref in before) - {end.segment}
        if elsewhere:
            self._ends[end] = elsewhere
        self._unwritten.pop(end.key, None)
        return [*before, end]

    def _hold(self, draft: Draft, refs: list[FrameRef]) -> None:
        """Hold the frames of a draft that later ones depend on."""
        request = draft.request
        if request.deletes:
            self._deletions[request.tenant_id, request.target_response_id or ""] = refs
        elif request.exchange_id in self._builder.held_exchanges:
            self._held[request.exchange_id] = refs

    def _interrupt(self, stop: FrameRef, batch: Batch) -> None:
        """Interrupt what is open, as far as it came: the proxy has stopped."""
        self._stop = stop
        for key, exchange in self._exchanges.interrupt():
            self._unwritten.pop(key, None)
            try:
                self._interrupt_one(stop.seq, exchange, batch)
            except DamagedFrameError:
                batch.count("dropped.damaged")

    def _interrupt_one(self, seq: int, exchange: OpenExchange, batch: Batch) -> None:
        if exchange.request is not None and exchange.request.kind is FrameKind.RECORD:
            head, change = self._built(exchange.request)
            if isinstance(change, Record):
                change = _mark_interrupted(change)
                batch.items.append(PendingChange(seq, change, head.flow_id, head.turn))
            return
        cut = self._exchanges.interrupted(exchange)
        _add_change(batch, seq, cut, self._builder.build(cut.draft))

    def _open_later(self, ref: FrameRef, batch: Batch) -> None:
        """Have the row of an open exchange written with the batch, unless that ends it."""
        self._unwritten[ref.key] = ref.seq
        batch.size += ref.size

    def _open_row(self, key: int, seq: int) -> list[PendingChange]:
        """Return the row of an open exchange; none where it will make none."""
        refs = self._exchanges.refs_of(key)
        change: Change | Skip | None
        if refs[0].kind is FrameKind.RECORD:
            head, change = self._built(refs[0])
            flow_id, turn = head.flow_id, head.turn
        else:
            opened = self._exchanges.opened(key)
            flow_id, turn = opened.flow_id, opened.turn
            change = self._builder.build(opened.draft)
        if change is None or isinstance(change, Skip):
            return []
        return [PendingChange(seq, change, flow_id, turn)]

    def _apply_record(self, ref: FrameRef, batch: Batch) -> None:
        head, change = self._record(ref)
        if not head.ends:
            self._open_later(ref, batch)
        elif change is None:
            batch.count(f"skipped.{head.skipped}")
        else:
            change = self._without_deleted(head, change)
            batch.add(PendingChange(ref.seq, change, head.flow_id, head.turn))

    def _record(self, ref: FrameRef) -> tuple[RecordHead, Change | None]:
        """Return a change that came built, and note what later frames need of it."""
        head, change = self._built(ref)
        if not head.ends:
            self._exchanges.begin(ref)
            return head, change
        self._close(ref)
        self._exchanges.forget(ref.key)
        if isinstance(change, Deletion):
            draft = build_deletion(change.tenant_id, change.id, head.deleted_at or 0.0)
            self._builder.replay(draft)
            self._hold(draft, [ref])
        return head, change

    def _built(self, ref: FrameRef) -> tuple[RecordHead, Change | None]:
        frame = self._read(ref)
        head = decode_head(read_record_head, frame.head)
        return head, decode_change(head.kind, frame.body) if head.kind else None

    def _without_deleted(self, head: RecordHead, change: Change) -> Change:
        """Return a record without its response where that was deleted since it was asked for."""
        response = change.response if isinstance(change, Record) else None
        if response is None:
            return change
        key = response.tenant_id, response.id
        if not self._builder.covers(key, head.started_at):
            return change
        return msgspec.structs.replace(change, response=None)


def _is_whole(change: object) -> bool:
    """Return whether a change is a record of which no later frame needs anything."""
    return isinstance(change, Record) and change.exchange.state != State.INTERRUPTED


def _add_change(batch: Batch, seq: int, draft: ExchangeDraft, change: Change | Skip) -> None:
    if isinstance(change, Skip):
        batch.count(f"skipped.{change.value}")
    else:
        batch.add(PendingChange(seq, change, draft.flow_id, draft.turn))


def _mark_interrupted(open_row: Record) -> Record:
    exchange = msgspec.structs.replace(
        open_row.exchange, state=State.INTERRUPTED.value, ended_by=EndedBy.PROXY_STOPPED.value
    )
    return msgspec.structs.replace(open_row, exchange=exchange)
