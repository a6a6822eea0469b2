"""Apply the frames of one journal to a database, each exactly once.

Each batch is written with the position that it brings the journal to. Where the database turns out
to be at another position than it was left at, all is read again from the first frame on: what it
has already is replayed, what it lacks is applied.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from response_store.backends.base import CheckpointMovedError, Health, Store
from response_store.config import Config, Serve
from response_store.diagnostics import Counters, ErrorReporter
from response_store.errors import StoreError, TransientStoreError
from response_store.ingest.cleaning import SharedCleaned, build_redactor
from response_store.ingest.dead_letters import DeadLetters
from response_store.ingest.delivery import Batch, Delivery, PendingChange, PositionHint
from response_store.ingest.interpreter import Interpreter
from response_store.ingest.record_builder import RecordBuilder
from response_store.journal.directory import JournalDirectory, SegmentKind
from response_store.journal.errors import DamagedFrameError
from response_store.journal.frames import FrameKind, FrameRef
from response_store.journal.private_files import DAMAGED, sync_folder
from response_store.journal.reader import JournalReader, keep_damaged
from response_store.model.records import Record

logger = logging.getLogger(__name__)
_READ_BATCH_SIZE = 256  # frames
_MAX_MEMORY_ATTEMPTS = 5  # for a frame that does not fit into the memory there is
_MAX_MEMORY_RATIO = (
    0.75  # of journal.max_bytes, which the segments of a database in memory may take
)
OnWritten = Callable[[Sequence[PendingChange]], None]


@dataclass(slots=True)
class _JournalPass:
    """One walk through the journal, from its first frame on.

    Up to `checkpoint`, the position of the database, frames are replayed. `known` is the highest
    position that a database had; of the frames between the two `seen` are still there.
    """

    reader: JournalReader
    interpreter: Interpreter
    delivery: Delivery
    batch: Batch
    checkpoint: int
    known: int
    seen: int = 0
    is_due: bool = False  # the batch is closed, and to be written before more is read
    is_uncertain: bool = False  # a write ended in an error, perhaps after all was committed

    @property
    def has_unwritten(self) -> bool:
        """Return whether the batch moves the position."""
        return self.batch.end != self.delivery.committed


class Applier:
    """Applies one journal, whose reader lock is held. For one thread; raises StoreError.

    `config` has the settings that shape its rows. `is_outstanding` says whether a seq that is not
    there may still come; None where the journal has no owner. `on_written` is called with what was
    committed.
    """

    def __init__(
        self,
        directory: JournalDirectory,
        config: Config,
        store: Store,
        cleaned: SharedCleaned,
        *,
        counters: Counters,
        errors: ErrorReporter,
        health: Health,
        is_outstanding: Callable[[int], bool] | None = None,
        marks_key: bytes = b"",
        on_written: OnWritten = lambda _: None,
    ) -> None:
        self.directory = directory
        self.dead_letters = DeadLetters(directory, config.journal.max_bytes // 4)
        self._config = config
        self._store = store
        self._cleaned = cleaned
        self._counters = counters
        self._errors = errors
        self._health = health
        self._is_outstanding = is_outstanding
        self._marks_key = marks_key
        self._on_written = on_written
        self._hint = PositionHint(directory)
        self._known = self._hint.read()
        # A takeover drops nothing before its end: no position of its own can be one without frames.
        self._is_hinting = is_outstanding is not None
        self._reading: _JournalPass | None = None
        self._starved = (0, 0)  # a seq that did not fit into memory, and how often
        self._reasons: set[str] = set()

    @property
    def applied(self) -> int:
        """Return the last frame that was read."""
        return self._reading.reader.position if self._reading else 0

    @property
    def committed(self) -> int:
        """Return the last frame whose rows are in the database."""
        return self._reading.delivery.committed or 0 if self._reading else 0

    @property
    def has_unwritten(self) -> bool:
        """Return whether frames were read whose position is not in the database."""
        return self._reading is not None and self._reading.has_unwritten

    @property
    def has_open(self) -> bool:
        """Return whether exchanges are open that were not interrupted."""
        return self._reading is not None and self._reading.interpreter.has_open

    def apply(self) -> bool:
        """Read what is there, at most a batch, and write what it brings.

        Return whether there may be more. What moves nothing but the position is left to `persist`.
        """
        reading = self._reading or self._begin()
        if reading.is_uncertain and not self._is_synchronized(reading):
            return True
        has_more = reading.is_due or self._read(reading)
        has_rows = bool(reading.batch.items) or reading.interpreter.has_opened
        if reading.is_due or has_rows or reading.batch.is_full:
            self._write(reading)
        return has_more or reading.is_uncertain

    def persist(self) -> None:
        """Write the position, where it moved without a row."""
        if self._reading is not None and self._reading.has_unwritten:
            self._write(self._reading)

    def lose_owner(self) -> None:
        """Note that the proxy has ended: what is missing in the journal stays missing."""
        self._is_outstanding = None
        if self._reading is not None:
            self._reading.reader.owner_gone()

    def interrupt_open(self) -> None:
        """Interrupt what is open, by a frame: the owner is gone, and all that it wrote was read."""
        seq = max(self.applied, self.committed, self._known) + 1
        self._cleaned.append(seq, FrameKind.STOP, 0, b"")
        self._cleaned.sync()

    def compact(self) -> None:
        """Drop the segments that nobody needs, and carry what is needed out of half empty ones.

        Nothing is dropped while a batch is unwritten: an exchange that has ended in it needs no
        frames any more, but will after a crash.
        """
        reading = self._reading
        if reading is None or reading.has_unwritten:
            return
        if not reading.reader.droppable(self.committed):
            return
        needed = self._needed()
        with self._starting_again_on_error():
            if self._config.database.is_in_memory:
                self._drop_oldest(reading.reader, needed)
            else:
                moved = reading.reader.compact(self.committed, needed, self._cleaned)
                reading.interpreter.relocate(moved)

    def is_main_idle(self) -> bool:
        """Return whether main segments hold something, and most of it is not needed any more."""
        if self.applied != self.committed or self._config.database.is_in_memory:
            return False
        sizes = {s.name: s.size for s in self.directory.segments() if s.kind is SegmentKind.MAIN}
        needed = sum(ref.size for ref in self._needed() if ref.segment in sizes)
        return 2 * needed <= sum(sizes.values()) > 0

    def drop_main(self, seq: int) -> None:
        """Drop the main segments, of which the last one ends with `seq`; carry what is needed."""
        segments = self.directory.segments()
        names = {s.name for s in segments if s.kind is SegmentKind.MAIN and s.number <= seq}
        if self._reading is None or self.has_unwritten or self.committed < seq:
            return
        if self._config.database.is_in_memory:
            return
        moved: dict[FrameRef, FrameRef] = {}
        for ref in sorted(ref for ref in self._needed() if ref.segment in names):
            with contextlib.suppress(DamagedFrameError):  # counted; there is nothing to carry
                moved[ref] = self._cleaned.carry(self._reading.reader.frame(ref))
        self._cleaned.sync()
        self._reading.interpreter.relocate(moved)
        self._drop(names)

    def drop_cleaned(self) -> None:
        """Drop the cleaned segments that nobody needs, also the one that was appended to last."""
        if self.has_unwritten:
            return
        with self._cleaned.paused():
            if (
                self._cleaned.highest_seq <= self.committed
                and not self._config.database.is_in_memory
            ):
                needed = {ref.segment for ref in self._needed()}
                self._drop(set(self._cleaned.own_segments()) - needed)

    def finish(self) -> bool:
        """Remove the journal, of which all is in the database; return whether it is gone.

        It stays as long as it has dead letters. Nothing may be open in it, nor come any more.
        """
        try:
            # The frames may be those of a proxy whose `durability` is another one than ours.
            self._store.sync()
            self._cleaned.close()
            self.directory.discard_segments()
            self._hint.remove()
            # Else the frames could come back, after a loss of power, without their position.
            sync_folder(self.directory.path)
            if not self._config.database.is_in_memory:
                self._store.finish(self.directory.journal_id)
            return not self.dead_letters.number and self.directory.remove()
        except OSError as error:
            raise self._unreadable(error) from None

    def close(self) -> None:
        """Close the files. Idempotent; the locks stay."""
        self._hint.close()
        self._cleaned.close()
        if self._reading is not None:
            self._reading.reader.close()

    # Reading

    def _begin(self) -> _JournalPass:
        """Begin with the first frame that is there; replay up to the database's position."""
        position = self._store.position(self.directory.journal_id)
        reader = JournalReader(
            self.directory,
            checkpoint=position or 0,
            is_outstanding=self._is_outstanding,
            counters=self._counters,
        )
        delivery = Delivery(
            self._store,
            self.directory.journal_id,
            position,
            health=self._health,
            errors=self._errors,
            bury=self._bury,
            on_written=self._note_written,
        )
        interpreter = Interpreter(self._builder(), reader.frame)
        self._reading = _JournalPass(
            reader, interpreter, delivery, Batch(position), position or 0, self._known
        )
        return self._reading

    def _builder(self) -> RecordBuilder:
        config = self._config
        return RecordBuilder(
            config.capture,
            self.directory.journal_id,
            build_redactor(config.redact, self._counters, self._errors),
            deletes_unknown=config.serve is Serve.PREFER,
            marks_key=self._marks_key,
        )

    def _read(self, reading: _JournalPass) -> bool:
        """Read frames into the batch, until it is full; return whether there may be more."""
        with self._starting_again_on_error():
            number = 0
            for ref in reading.reader.next(_READ_BATCH_SIZE):
                self._take(reading, ref)
                number += 1
                if reading.batch.is_full:
                    return True
        if number < _READ_BATCH_SIZE:
            self._count_gone(reading)
        return number == _READ_BATCH_SIZE

    def _take(self, reading: _JournalPass, ref: FrameRef) -> None:
        """Replay a frame, or apply it."""
        if reading.known and ref.seq > reading.known:
            self._count_gone(reading)
        if ref.seq <= reading.checkpoint:
            reading.interpreter.replay(ref)
            return
        reading.seen += 1
        batch = reading.batch
        try:
            reading.interpreter.apply(ref, batch)
        except (StoreError, OSError):
            raise
        except MemoryError:
            self._starve(ref)
            batch.count("dropped.memory")
        except Exception as error:  # noqa: BLE001 - a frame of a kind that nobody thought of
            self._errors.report("apply", error)
            batch.count("dropped.failed")
        batch.end = ref.seq
        batch.frames += 1

    def _count_gone(self, reading: _JournalPass) -> None:
        """Count, once a pass, what an older copy of the database lacks and the journal no longer
        has.

        All frames up to the known position have been read, or are not there.
        """
        missing = reading.known - reading.checkpoint - reading.seen
        if reading.known and missing > 0:
            self._counters.add("frames_gone", missing)
            logger.warning(
                "response_store: %s is an older copy or a new database: %d frames that were "
                "applied before are not in it, and not in the journal any more",
                self._store.describe(),
                missing,
            )
        reading.known = self._known = 0

    def _starve(self, ref: FrameRef) -> None:
        """Raise TransientStoreError for a frame that does not fit into memory, a few times.

        Then its bytes are kept aside, as others wait behind it.
        """
        times = self._starved[1] + 1 if self._starved[0] == ref.seq else 1
        self._starved = ref.seq, times
        if times < _MAX_MEMORY_ATTEMPTS:
            raise TransientStoreError("the ingester has not got enough memory for an exchange")
        keep_damaged(self.directory, ref.segment, ref.offset, ref.offset + ref.size)
        logger.warning(
            "response_store: an exchange of %d bytes does not fit into the ingester's memory: its "
            "bytes are kept in %s beside the journals",
            ref.size,
            DAMAGED,
        )

    @contextlib.contextmanager
    def _starting_again_on_error(self) -> Iterator[None]:
        """Start again from the first frame after an error, as a frame may have been taken half."""
        try:
            yield
        except OSError as error:
            self._forget()
            raise self._unreadable(error) from None
        except Exception:
            self._forget()
            raise

    def _forget(self) -> None:
        """Forget what was read: the next call begins anew."""
        self._known = max(self._known, self.committed)
        if self._reading is not None:
            self._reading.reader.close()
        self._reading = None

    # Writing

    def _write(self, reading: _JournalPass) -> None:
        """Write the batch; after an error it stays, and what the database has is uncertain."""
        batch = reading.batch
        if not reading.is_due:
            with self._starting_again_on_error():
                reading.interpreter.close(batch)
            reading.is_due = True
        try:
            reading.delivery.deliver(batch)
        except StoreError as error:
            is_first = not reading.is_uncertain
            reading.is_uncertain = True
            if isinstance(error, CheckpointMovedError) and is_first:
                return  # to be looked at at once
            raise
        for name, number in batch.counters.items():
            self._counters.add(name, number)
        if self._is_hinting:
            self._hint.write(self.committed)
        reading.batch = Batch(reading.delivery.committed)
        reading.is_due = reading.is_uncertain = False

    def _is_synchronized(self, reading: _JournalPass) -> bool:
        """Compare with the database's position; False where all has to be read again."""
        if reading.delivery.synchronize(reading.batch):
            return True
        self._forget()
        return False

    def _note_written(self, items: Sequence[PendingChange]) -> None:
        records = sum(isinstance(item.change, Record) for item in items)
        if records:
            self._counters.add("written", records)
        self._on_written(items)

    def _bury(self, item: PendingChange, reason: str) -> None:
        """Keep a row that the database refuses."""
        forgotten = self.dead_letters.append(item.seq, item.change, reason)
        self._counters.add("dead_letters")
        if forgotten:
            self._counters.add("dropped.dead_letters_full", forgotten)
        if reason not in self._reasons:
            self._reasons.add(reason)
            logger.warning("response_store: a row was put with the dead letters: %s", reason)

    def _needed(self) -> list[FrameRef]:
        """Return the frames that have to stay in the journal."""
        if self._reading is None:
            return []
        return self._reading.interpreter.needed([s.name for s in self.directory.segments()])

    def _drop(self, segments: Iterable[str]) -> None:
        if self._reading is None:
            return
        try:
            for name in segments:
                self._reading.reader.drop(name)
        except OSError as error:
            raise self._unreadable(error) from None

    def _drop_oldest(self, reader: JournalReader, needed: Sequence[FrameRef]) -> None:
        """Make room where the segments are all that a database in memory could be filled from."""
        allowed = self._config.journal.max_bytes * _MAX_MEMORY_RATIO
        for name in reader.droppable(self.committed, needed):
            if self.directory.bytes_on_disk() <= allowed:
                return
            reader.drop(name)

    def _unreadable(self, error: OSError) -> TransientStoreError:
        reason = error.strerror or type(error).__name__
        return TransientStoreError(f"journal {self.directory.path} can't be read ({reason})")
