"""Write files of exports, whole or not at all; read them, packed or plain.

`.zst` and `.gz` in a name pack what is written; what is read says itself how it is packed.
"""

from __future__ import annotations

import gzip
import io
import os
import secrets
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeAlias, cast

import zstandard

from response_store.errors import ResponseStoreError
from response_store.limits import IMPORTED_BYTES

STANDARD = "-"
MAX_LINE = IMPORTED_BYTES

Write: TypeAlias = Callable[[bytes], object]

_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP = b"\x1f\x8b"
_LEVEL = 6
_PIECE = 1 << 20
_PACKED_PIECE = 1 << 14  # bytes: zstd may unpack them to 10,000 times as many


class FileError(ResponseStoreError):
    """A file can't be read or written. The text says which, why, and the fix."""


@contextmanager
def write_file(path: Path) -> Iterator[Write]:
    """Give a function that writes a file, which appears at `path` once the block has ended well.

    It is written beside its place, readable by its owner alone. What is not a regular file, such
    as a named pipe, is written to at once. Raises FileError.
    """
    with (
        _translate_errors(path, "written", "Make room, or name another place."),
        ExitStack() as stack,
    ):
        if path.exists() and not path.is_file():
            file: IO[bytes] = stack.enter_context(path.open("wb"))
        else:
            file = stack.enter_context(_replace_when_done(Path(os.path.realpath(path))))
        yield stack.enter_context(_pack(file, path.suffix)).write


@contextmanager
def write_standard_output() -> Iterator[Write]:
    """Give a function that writes to standard output. Raises FileError.

    The error of a reader that went away passes.
    """
    with _translate_errors(
        Path("standard output"), "written", "Make room, or name a file with --output."
    ):
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()


class _Unzstd(io.RawIOBase):
    """Frames of zstd, one after the other, as what is in them.

    zstandard's own reader takes a frame that is cut off for one that has ended.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        super().__init__()
        self._file = file
        self._rest = b""
        self._unpacked = memoryview(b"")
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read unpacked bytes. Raises EOFError where the last frame has no end, and ZstdError."""
        while not self._unpacked:
            if not (packed := self._rest or self._file.read1(_PACKED_PIECE)):
                if self._frame is None:
                    return 0
                raise EOFError
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._unpacked = memoryview(self._frame.decompress(packed))
            self._rest = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None
        count = min(len(buffer), len(self._unpacked))
        buffer[:count], self._unpacked = self._unpacked[:count], self._unpacked[count:]
        return count


class LineReader:
    """The lines of a file, unpacked; and how far the file has been read, as it is packed."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.total = _get_size(file)
        self._file = file
        self._read = self._reported = 0

    def __iter__(self) -> Iterator[bytes]:
        unpacked = _unpack(self._file)
        while line := unpacked.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise FileError(f"a line is longer than {MAX_LINE >> 20} MiB: this is no export.")
            self._read += len(line)
            yield line

    def moved(self) -> int:
        """Return how many bytes were read since the last call: of the file, or of the lines."""
        now = self._read if self.total is None else self._file.tell()
        before, self._reported = self._reported, now
        return now - before


@contextmanager
def read_lines(path: Path) -> Iterator[LineReader]:
    """Open the lines of a file, or of standard input where it is `-`. Raises FileError."""
    hint = "Check the path; where the file was cut off, get it once more."
    with _translate_errors(path, "read", hint), ExitStack() as stack:
        if str(path) == STANDARD:
            yield LineReader(_make_peekable(sys.stdin.buffer))
        else:
            yield LineReader(stack.enter_context(path.open("rb")))


def _get_size(file: io.BufferedReader) -> int | None:
    """Return how many bytes there are, where that is known."""
    with suppress(OSError):
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            return status.st_size
    return None


def _make_peekable(file: BinaryIO) -> io.BufferedReader:
    if isinstance(file, io.BufferedReader):
        return file
    return io.BufferedReader(cast("io.RawIOBase", file), _PIECE)


@contextmanager
def _translate_errors(path: Path, done: str, hint: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or "it is damaged"
        raise FileError(f"{path}: it can't be {done}: {reason}. {hint}") from None
    except (EOFError, zlib.error, zstandard.ZstdError):
        raise FileError(f"{path}: it can't be {done}: it is cut off or damaged. {hint}") from None


@contextmanager
def _replace_when_done(path: Path) -> Iterator[IO[bytes]]:
    # Its name is known before it is there: an interruption in between leaves nothing behind.
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.part")
    try:
        with open(temporary, "xb", buffering=_PIECE, opener=_open_private) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def _pack(file: IO[bytes], suffix: str) -> Iterator[IO[bytes]]:
    match suffix.lower():
        case ".gz":
            # Without a name or a time in it, so that the same rows make the same file.
            with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packing:
                yield cast("IO[bytes]", packing)
        case ".zst":
            writer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
            with writer.stream_writer(file, closefd=False) as packing:
                yield packing
        case _:
            yield file


def _unpack(file: io.BufferedReader) -> io.BufferedIOBase:
    begins = file.peek(len(_ZSTD))
    if begins.startswith(_ZSTD):
        return io.BufferedReader(_Unzstd(file), _PIECE)
    if begins.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file, mode="rb")
    return file
