"""A real ingester process without a proxy: frames are appended here, and it is waited for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.control import stop
from benchmarks.frames import End
from response_store import __version__
from response_store.config import load_config
from response_store.diagnostics import Counters
from response_store.ingest import process
from response_store.ingest.channel import (
    Hello,
    Message,
    MessageDecoder,
    Report,
    Verdict,
    Wake,
    encode,
)
from response_store.journal.directory import JournalDirectory, build_header
from response_store.journal.frames import FrameKind
from response_store.journal.private_files import prepare_folder
from response_store.journal.writer import JournalWriter

WAIT_SECONDS = 120.0
END_SECONDS = 30.0


class Ingester:
    """The process, and a journal that this one owns. Its configuration should report at once.

    That is, with `acknowledge: database` each commit is reported when it was made.
    """

    def __init__(self, configuration: Path) -> None:
        self.config = load_config(configuration)
        folder = prepare_folder(self.config.journal.path, {})
        self.directory = JournalDirectory.create(folder, build_header(self.config))
        self._writer = JournalWriter(
            self.directory,
            max_bytes=self.config.journal.max_bytes,
            durability=self.config.durability,
            counters=Counters(),
            call_soon=lambda callback, *arguments: callback(*arguments),
        )
        self._decoder = MessageDecoder()
        self._committed = 0
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(WAIT_SECONDS)
        with theirs, configuration.with_suffix(".ingester.log").open("wb") as log:
            self._process = subprocess.Popen(
                process.build_command(theirs.fileno()),
                env=process.build_environment(os.environ),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        settings, source = self.config.to_message(), self.config.source
        self._send(Hello(__version__, str(self.directory.path), settings, source, False, 0))

    @property
    def pid(self) -> int:
        return self._process.pid

    def seconds(self, frames: Iterable[End]) -> float:
        """Append frames while it stands still; return how long it takes from there to the rows."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            for end in frames:
                self._append(end)
        finally:
            start = time.perf_counter()
            os.kill(self.pid, signal.SIGCONT)
        self._send(Wake())
        while self._committed < self._writer.last_seq:
            self._receive()
        return time.perf_counter() - start

    def _append(self, end: End) -> None:
        key = self._writer.last_seq + 1
        self._writer.append(FrameKind.END, key, end.head, (end.request, end.answer))

    def _send(self, message: Message) -> None:
        for part in encode(message):
            self._channel.sendall(part)

    def _receive(self) -> None:
        data = self._channel.recv(1 << 18)
        if not data:
            raise RuntimeError(f"the ingester ended with {self._process.wait()}")
        for message, _ in self._decoder.feed(data):
            match message:
                case Report():
                    self._committed = message.committed
                case Verdict() if message.error:
                    raise RuntimeError(message.error)
                case _:
                    pass

    def close(self) -> None:
        """Let it empty the journal and end."""
        self._writer.close()
        self._channel.close()
        self.directory.close()
        stop(self._process, grace=END_SECONDS)
