"""The state of the journals of a database, as objects for programs and lines for people."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import msgspec

from response_store.capture.draft import DeletionHead, EndHead, RequestHead
from response_store.cli.journals import CommandDatabase, describe_target, find_journals
from response_store.errors import StoreError
from response_store.format.text import format_duration, format_size, put_on_one_line
from response_store.ingest.dead_letters import DeadLetters
from response_store.ingest.delivery import PositionHint
from response_store.ingest.exchanges import RecordHead
from response_store.journal.directory import JournalDirectory, Target, build_target
from response_store.journal.errors import DamagedFrameError, JournalError, make_unusable_error
from response_store.journal.frames import Frame, FrameKind
from response_store.journal.reader import JournalReader

if TYPE_CHECKING:
    from response_store.cli.output import Facts

Objects: TypeAlias = dict[str, list[dict[str, object]]]
T = TypeVar("T")
NONE_HERE = ("journal", "none")
_REASONS = 3
_FRAMES = 100  # that are looked at for a time: one in the middle of an answer has none


class JournalState(msgspec.Struct, frozen=True, kw_only=True):
    """A journal of the database; `bytes` are those of its segments.

    `owner_alive` says whether its proxy runs, `is_read` whether somebody is at applying it.
    `position` is the last frame that is in the database, as the journal knows it where the database
    can't say; `waiting` the number of frames behind it, and `oldest_age_seconds` how long the first
    of them has waited.
    """

    path: str
    owner_alive: bool
    is_read: bool
    position: int
    last_seq: int
    waiting: int
    bytes: int
    max_bytes: int
    oldest_age_seconds: float | None
    dead_letters: int
    dead_letter_bytes: int
    last_reasons: list[str]


def build_journals_status(database: CommandDatabase) -> tuple[Objects, Facts, bool]:
    """Return the journals of a database, and in a line each those of others.

    As an object, as facts, and whether something could not be looked at.
    """
    try:
        journals = find_journals(database)
    except (JournalError, OSError) as error:
        problem = put_on_one_line(str(error))
        return {"journals": [], "other_journals": []}, [("journal error", problem)], True
    facts: Facts = []
    states: list[dict[str, object]] = []
    for directory in journals.own:
        try:
            state = _read_state(directory, database)
        except JournalError as error:
            directory.problem = error
        except OSError as error:
            directory.problem = make_unusable_error(directory.path, error)
        else:
            states.append(msgspec.structs.asdict(state))
            facts += _list_facts(state)
    failed = [one for one in journals.own if one.problem is not None and one.exists()]
    tables = build_target(database.source.config()).tables
    others = [*failed, *journals.others, *journals.unusable]
    described = [_describe_other(directory, tables) for directory in others]
    journals_object: Objects = {"journals": states, "other_journals": [one for one, _ in described]}
    facts += [fact for _, fact in described] or ([] if facts else [NONE_HERE])
    return journals_object, facts, bool(failed)


def _read_state(directory: JournalDirectory, database: CommandDatabase) -> JournalState:
    """Look at a journal. Raises JournalError, OSError."""
    position = _read_position(directory, database)
    reader = JournalReader(directory, checkpoint=position)
    last_seq = reader.last_seq()
    max_bytes = database.source.settings.journal.max_bytes
    letters = DeadLetters(directory, max_bytes)
    reasons = [letter.reason for letter in reversed(letters.read())] if letters.number else []
    waiting = max(0, last_seq - position)
    return JournalState(
        path=str(directory.path),
        owner_alive=directory.is_owned(),
        is_read=directory.is_read(),
        position=position,
        last_seq=last_seq,
        waiting=waiting,
        bytes=directory.bytes_on_disk(),
        max_bytes=max_bytes,
        oldest_age_seconds=_compute_oldest_age(reader, position) if waiting else None,
        dead_letters=letters.number,
        dead_letter_bytes=letters.size,
        last_reasons=list(dict.fromkeys(reasons))[:_REASONS],
    )


def _read_position(directory: JournalDirectory, database: CommandDatabase) -> int:
    try:
        return database.position(directory.journal_id)
    except StoreError:
        return PositionHint(directory).read()


def _compute_oldest_age(reader: JournalReader, position: int) -> float | None:
    """Return for how long the first frame behind a position has waited, as far as is known."""
    left = _FRAMES
    try:
        while refs := list(reader.next(_FRAMES)):
            for ref in refs:
                if ref.seq <= position:
                    continue
                if (at := _read_time(reader.frame(ref))) is not None:
                    return max(0.0, time.time() - at)
                left -= 1
                if not left:
                    return None
    except (DamagedFrameError, JournalError, OSError):
        return None
    finally:
        reader.close()
    return None


def _read_time(frame: Frame) -> float | None:
    """Return about when a frame was written, in Unix seconds; None where it does not say."""
    try:
        match frame.kind:
            case FrameKind.OPEN:
                return _decode(frame, RequestHead).started_at
            case FrameKind.END:
                head = _decode(frame, EndHead)
                began = head.request.started_at if head.request else None
                return None if began is None else began + head.duration_ms / 1000
            case FrameKind.DELETION:
                return _decode(frame, DeletionHead).at
            case FrameKind.RECORD:
                return _decode(frame, RecordHead).started_at or None
            case _:
                return None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _decode(frame: Frame, kind: type[T]) -> T:
    return msgspec.msgpack.decode(frame.head, type=kind)


def _list_facts(state: JournalState) -> Facts:
    owner = "its proxy runs" if state.owner_alive else "its proxy has ended"
    return [
        ("journal", put_on_one_line(f"{state.path}, {format_size(state.bytes)}, {owner}")),
        ("waiting", _describe_waiting(state)),
        ("dead letters", put_on_one_line(_describe_dead_letters(state))),
    ]


def _describe_waiting(state: JournalState) -> str:
    if not state.waiting:
        return f"nothing (frame {state.position} is the last)"
    frames = "1 frame" if state.waiting == 1 else f"{state.waiting} frames"
    age = state.oldest_age_seconds
    oldest = "" if age is None else f", the oldest for {format_duration(1000 * age)}"
    return f"{frames} ({state.position} of {state.last_seq} are in the database){oldest}"


def _describe_dead_letters(state: JournalState) -> str:
    if not state.dead_letters:
        return "none"
    reasons = "; ".join(state.last_reasons)
    return f"{state.dead_letters}, {format_size(state.dead_letter_bytes)}: {reasons}"


def _describe_other(
    directory: JournalDirectory, tables: Mapping[str, str]
) -> tuple[dict[str, object], tuple[str, str]]:
    """Return a journal of another database, and how it is applied; or why it can't be."""
    path = str(directory.path)
    if directory.problem is not None:
        problem = str(directory.problem)
        return {"path": path, "problem": problem}, ("other journal", put_on_one_line(problem))
    target, alive, taken = directory.header.target, directory.is_owned(), directory.bytes_on_disk()
    if target.place == ":memory:":
        how = "it goes with its proxy"
    elif alive:
        how = "its proxy runs"
    else:
        how = f"apply it with: {_build_command(path, target, tables)}"
    other: dict[str, object] = {
        "path": path,
        "owner_alive": alive,
        "backend": target.backend,
        "place": target.place,
        "tables": target.tables,
        "bytes": taken,
        "problem": None,
    }
    fact = put_on_one_line(f"{path}, {format_size(taken)}, of {describe_target(target)}; {how}")
    return other, ("other journal", fact)


def _build_command(path: str, target: Target, tables: Mapping[str, str]) -> str:
    """Return the command that applies a journal, where the configuration has these tables."""
    is_enough = target.backend == "sqlite" and target.tables == tables
    database = f"--database {shlex.quote(target.place)}" if is_enough else "--config FILE"
    return f"response-store flush --journal {shlex.quote(path)} {database}"
