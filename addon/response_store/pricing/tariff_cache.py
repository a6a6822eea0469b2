"""Keep the tariffs that the package genai-prices gives in a file of the user's.

Loading the package takes longer than a whole `response-store list`. What was looked up once is read
from the file instead, until the package is another one or a price in it changes. The file holds
names of models and hosts, and is for its owner alone. Without it all is as slow as it is.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from response_store.pricing.cost import PriceKey, PriceSource, Tariff
from response_store.resources import find_user_folder

MAX_ENTRIES = 500
"""Models that the file remembers: with more of them it begins anew."""
MAX_WRITES = 50
"""Times that one process writes the file."""
_MAX_SIZE = 4 << 20  # bytes
_MAX_NAME = 300  # characters; no model, host or tier has more that has a price
_FORM = 1
"""Changes with what a file holds."""


class DatedSource(PriceSource, Protocol):
    """A source of prices that knows until when what it says of them holds."""

    @property
    def valid_until(self) -> float:
        """Return Unix seconds, or infinity."""


class _Content(msgspec.Struct, frozen=True):
    """What a file holds: of which package, until when, tariffs, and None where there is none."""

    package: str
    valid_until: float
    tariffs: list[tuple[PriceKey, Tariff | None]]


class CachedPrices:
    """The prices of a source that takes long to load, behind a file; None is no file."""

    def __init__(self, source: DatedSource, package: str, file: Path | None) -> None:
        self._source = source
        self._package = f"{_FORM} {package}"
        self._file = file
        self._known: dict[PriceKey, Tariff | None] | None = None
        self._writes = 0

    @property
    def name(self) -> str:
        """Return what the source is called."""
        return self._source.name

    def find(self, key: PriceKey) -> Tariff | None:
        """Return what a model costs; None where that is not known."""
        if any(len(part or "") > _MAX_NAME for part in key):
            return None
        if self._known is None:
            self._known = self._read()
        if key not in self._known:
            if len(self._known) >= MAX_ENTRIES:
                self._known.clear()
            self._known[key] = self._source.find(key)
            self._write(self._known)
        return self._known[key]

    def _read(self) -> dict[PriceKey, Tariff | None]:
        if self._file is None:
            return {}
        try:
            with self._file.open("rb") as file:
                content = msgspec.msgpack.decode(file.read(_MAX_SIZE), type=_Content)
        except (OSError, ValueError, msgspec.MsgspecError):
            return {}
        if content.package != self._package or time.time() >= content.valid_until:
            return {}
        return dict(content.tariffs)

    def _write(self, known: Mapping[PriceKey, Tariff | None]) -> None:
        if self._file is None or self._writes >= MAX_WRITES:
            return
        self._writes += 1
        content = _Content(self._package, self._source.valid_until, [*known.items()])
        with suppress(OSError, ValueError):  # a surrogate in a name, which no file takes
            _replace_file(self._file, msgspec.msgpack.encode(content))


def _replace_file(file: Path, data: bytes) -> None:
    """Put a file in its place whole, readable by its owner alone. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        Path(name).replace(file)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def find_cache_file(environ: Mapping[str, str]) -> Path | None:
    """Return where the file is; None where the user has no home."""
    try:
        return find_user_folder("cache", environ) / "prices.msgpack"
    except RuntimeError:
        return None
