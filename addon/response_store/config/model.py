"""The parts of a configuration as frozen values."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Literal

from response_store.config.secret import mask_credentials


class Backend(StrEnum):
    """Which database keeps the records."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


class StoreFalse(StrEnum):
    """What becomes of exchanges whose request says `"store": false`."""

    CAPTURE = "capture"
    SKIP = "skip"


class InputColumns(StrEnum):
    """For which responses the columns `input` and `messages` are written.

    `STORED`: those that the API stores as well. Of others both are made of the request when read.
    """

    STORED = "stored"
    ALWAYS = "always"


class RawBodies(StrEnum):
    """When the raw bytes of an answer are kept."""

    ALWAYS = "always"
    ON_ERROR = "on_error"
    NEVER = "never"


class Durability(StrEnum):
    """What an acknowledged record survives.

    `PROCESS`: the end of every process of ours, `kill -9` included. `POWER`: also a loss of power.
    """

    PROCESS = "process"
    POWER = "power"


class OnStoreFailure(StrEnum):
    """What happens to traffic while records can't be kept."""

    CONTINUE = "continue"
    REJECT = "reject"


class Serve(StrEnum):
    """Whether requests for stored responses are answered here.

    `PREFER` asks the upstream for what is not here, `ONLY` never.
    """

    OFF = "off"
    PREFER = "prefer"
    ONLY = "only"


class Acknowledge(StrEnum):
    """Where a record has to be before its answer ends: in the local journal, or in the database.

    The database's commit is waited for by the ends of whole answers and of turns over WebSockets,
    not by streams over SSE.
    """

    JOURNAL = "journal"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class SqliteTarget:
    """A SQLite database: a file, or memory where `path` is None.

    `path` is relative to the working directory, or absolute. `mode` `rw` opens only a file that
    exists, `rwc` makes it.
    """

    path: Path | None
    mode: Literal["rw", "rwc"] = "rwc"
    server: ClassVar[None] = None
    password: ClassVar[None] = None

    @property
    def is_in_memory(self) -> bool:
        """Return whether the database is its proxy's alone, and gone with it."""
        return self.path is None

    def warnings(self) -> tuple[str, ...]:
        """Return what to warn of at start: nothing."""
        return ()

    def describe(self) -> str:
        """Return a text that may be shown: what could be credentials before an `@` is masked."""
        return ":memory:" if self.path is None else mask_credentials(str(self.path))

    def __repr__(self) -> str:
        return f"SqliteTarget({self.describe()!r}, mode={self.mode!r})"


@dataclass(frozen=True, slots=True)
class CaptureConfig:
    """What is captured. `hosts` are patterns as in `fnmatch`, without character classes."""

    hosts: tuple[str, ...]
    apis: frozenset[str]
    store_false: StoreFalse
    raw_bodies: RawBodies
    max_body_bytes: int
    label: str | None = None
    session_header: str | None = None  # in lower case
    input_columns: InputColumns = InputColumns.STORED
    _admitted: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pattern = "|".join(fnmatch.translate(host.lower()) for host in self.hosts)
        object.__setattr__(self, "_admitted", re.compile(pattern))

    def admits(self, host: str) -> bool:
        """Return whether traffic of this host is captured. Letter
        case and a final dot don't matter.
        """
        return self._admitted.match(host.lower().removesuffix(".")) is not None


@dataclass(frozen=True, slots=True)
class TenantConfig:
    """Whose records these are: `id`, unless the request header `header` (lower case) says it."""

    id: str
    header: str | None


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """Connections to PostgreSQL. Times are seconds; `idle_timeout_secs` 0 means never."""

    min_connections: int
    max_connections: int
    idle_timeout_secs: int
    acquire_timeout_secs: int


@dataclass(frozen=True, slots=True)
class JournalConfig:
    """Where each proxy has a journal of its own, and how many bytes one may take.

    `path` is a folder; None: `$STATE_DIRECTORY/journals`, else the user's state folder.
    """

    path: Path | None
    max_bytes: int


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """What is kept at run time: how many days, and how many bytes in all. None: no bound."""

    max_age_days: int | None
    max_bytes: int | None

    def __bool__(self) -> bool:
        return self.max_age_days is not None or self.max_bytes is not None


@dataclass(frozen=True, slots=True)
class RedactConfig:
    """Secrets that are not stored: names of known patterns, and the user's own, name and regex."""

    patterns: tuple[str, ...]
    custom: tuple[tuple[str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.patterns or self.custom)


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """What tokens of a model cost as the user says, in USD per million; None: not given.

    `model` is a pattern as in `fnmatch`, without character classes; `service_tier` None is the
    standard one.
    """

    model: str
    input: Decimal
    service_tier: str | None = None
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    output: Decimal | None = None
