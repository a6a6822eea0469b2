"""What is in force: the configuration as frozen values."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .secret import Secret, masked
from .tables import TableNames

if TYPE_CHECKING:  # psycopg is imported only where PostgreSQL is used
    from .postgres_target import PostgresTarget


class Backend(StrEnum):
    """Which database keeps the records."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


class StoreFalse(StrEnum):
    """What becomes of exchanges whose request says `"store": false`."""

    CAPTURE = "capture"
    SKIP = "skip"


class RawBodies(StrEnum):
    """When the raw bytes of an answer are kept."""

    ALWAYS = "always"
    ON_ERROR = "on_error"
    NEVER = "never"


class Durability(StrEnum):
    """What a commit survives: a loss of power, or the end of the process."""

    POWER = "power"
    PROCESS = "process"


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
    """Which commit a client waits for: that of the local journal, or that of the database."""

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

    def describe(self) -> str:
        """A text that may be shown: what could be credentials before an `@` is masked."""
        return ":memory:" if self.path is None else masked(str(self.path))

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
    _admitted: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pattern = "|".join(fnmatch.translate(host.lower()) for host in self.hosts)
        object.__setattr__(self, "_admitted", re.compile(pattern))

    def admits(self, host: str) -> bool:
        """Whether traffic of this host is captured. Letter case and a final dot don't matter."""
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
    """Where records wait for PostgreSQL, and how many bytes of them may."""

    path: Path
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
class Config:
    """All that is in force. `source` is the file it came from, or `defaults`.

    `pool`, `acknowledge` and `journal` are of use with PostgreSQL alone.
    """

    backend: Backend
    database: SqliteTarget | PostgresTarget
    database_url: Secret
    tables: TableNames
    capture: CaptureConfig
    tenant: TenantConfig
    completion_wait_ms: int
    durability: Durability
    on_store_failure: OnStoreFailure
    serve: Serve
    serve_remote: bool
    retention: RetentionConfig
    redact: RedactConfig
    pool: PoolConfig
    acknowledge: Acknowledge
    journal: JournalConfig
    source: str
