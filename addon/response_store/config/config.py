"""The whole configuration: built from checked settings, and carried to another process."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from response_store.errors import ConfigError

from .database import build_target, choose_backend
from .model import (
    Acknowledge,
    Backend,
    CaptureConfig,
    Durability,
    JournalConfig,
    OnStoreFailure,
    PoolConfig,
    RawBodies,
    RedactConfig,
    RetentionConfig,
    Serve,
    SqliteTarget,
    StoreFalse,
    TenantConfig,
)
from .redaction import build_redact_config
from .rules import TABLE_KEYS
from .secret import Secret
from .tables import TableNames

if TYPE_CHECKING:  # psycopg is imported only where PostgreSQL is used
    from .postgres_target import PostgresTarget

SHAPING_KEYS = (*TABLE_KEYS, "capture", "tenant", "serve", "redact")


@dataclass(frozen=True, slots=True)
class Config:
    """All that is in force. `source` is the file it came from, or `defaults`.

    `settings` is what it was built from: the keys of the YAML file, each with its default where the
    file has none; the URL in it is a `Secret`. Relative paths count from `directory`, which is the
    working directory unless another process sent the configuration. `pool` is of use with
    PostgreSQL alone.
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
    serve_hosts: tuple[str, ...]
    serve_token: Secret | None
    retention: RetentionConfig
    redact: RedactConfig
    pool: PoolConfig
    acknowledge: Acknowledge
    journal: JournalConfig
    source: str
    settings: Mapping[str, Any] = field(repr=False, compare=False)
    directory: Path = field(repr=False, compare=False)

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], source: str, directory: Path = Path()
    ) -> Self:
        """Return the configuration that checked settings, with every key and the URL, stand for."""
        settings = _normalize(settings)
        journal = settings["journal"]
        return cls(
            backend=Backend(settings["backend"]),
            database=build_target(settings, directory),
            database_url=Secret(settings["database_url"]),
            tables=TableNames(*(settings[key] for key in TABLE_KEYS)),
            capture=_build_capture(settings["capture"]),
            tenant=TenantConfig(**settings["tenant"]),
            completion_wait_ms=settings["completion_wait_ms"],
            durability=Durability(settings["durability"]),
            on_store_failure=OnStoreFailure(settings["on_store_failure"]),
            serve=Serve(settings["serve"]),
            serve_remote=settings["serve_remote"],
            serve_hosts=tuple(settings["serve_hosts"]),
            serve_token=settings["serve_token"] and Secret(settings["serve_token"]),
            retention=RetentionConfig(**settings["retention"]),
            redact=build_redact_config(settings["redact"]),
            pool=PoolConfig(**settings["pool"]),
            acknowledge=Acknowledge(settings["acknowledge"]),
            journal=JournalConfig(
                path=journal["path"] and directory / journal["path"],
                max_bytes=journal["max_bytes"],
            ),
            source=source,
            settings={**settings, "database_url": Secret(settings["database_url"])},
            directory=directory,
        )

    @classmethod
    def from_message(cls, data: bytes, source: str) -> Self:
        """Return the configuration that `to_message` has encoded, its relative paths absolute.

        Checks nothing again: only what this program sent itself may come here.
        """
        message = json.loads(data)
        return cls.from_settings(message["settings"], source, Path(message["directory"]))

    def to_message(self) -> bytes:
        """Return the configuration as JSON for another process. It holds the URL: never show it.

        Raises ConfigError where the working directory, which relative paths count from, is gone.
        """
        try:
            directory = self.directory.absolute()
        except OSError:
            raise ConfigError(_NO_DIRECTORY) from None
        settings = {**self.settings, "database_url": self.database_url.reveal()}
        return json.dumps({"directory": str(directory), "settings": settings}).encode()

    def shaping(self) -> dict[str, Any]:
        """Return the settings that decide which rows there are and what is in them.

        Plain values that JSON takes, without the URL: a journal keeps them for those who apply it.
        """
        return {key: copy.deepcopy(self.settings[key]) for key in SHAPING_KEYS}

    def same_as(self, other: Config) -> bool:
        """Return whether both have the same settings, whatever files they come from."""
        return self.settings == other.settings


_NO_DIRECTORY = (
    "Response Store: the folder that mitmproxy was started in has been removed, so that relative "
    "paths lead nowhere.\n    Start mitmproxy in a folder that exists."
)


def _normalize(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which equal meanings are equal values."""
    tenant, journal = settings["tenant"], settings["journal"]
    path, redact = journal["path"], settings["redact"]
    return {
        **settings,
        "backend": choose_backend(settings).value,
        "tenant": {**tenant, "header": tenant["header"] and tenant["header"].lower()},
        "serve": settings["serve"] or Serve.OFF.value,
        "redact": "off" if redact is False else redact,
        "journal": {**journal, "path": path and str(Path(path).expanduser())},
    }


def _build_capture(settings: Mapping[str, Any]) -> CaptureConfig:
    return CaptureConfig(
        hosts=tuple(settings["hosts"]),
        apis=frozenset(settings["apis"]),
        store_false=StoreFalse(settings["store_false"]),
        raw_bodies=RawBodies(settings["raw_bodies"]),
        max_body_bytes=settings["max_body_bytes"],
    )
