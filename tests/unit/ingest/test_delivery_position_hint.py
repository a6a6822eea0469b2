"""The position in a file: a hint that nobody has to believe."""

from __future__ import annotations

import pytest

from response_store.ingest.delivery import PositionHint
from response_store.journal.directory import POSITION
from tests.unit.ingest.bench import Bench


def test_the_last_position_is_read_again(bench: Bench) -> None:
    """What was written last counts, whatever was written before."""
    hint = PositionHint(bench.proxy.directory)
    assert hint.read() == 0
    for position in (12345, 7):
        hint.write(position)
    hint.close()
    assert PositionHint(bench.proxy.directory).read() == 7


@pytest.mark.parametrize("text", [b"", b"12", b"x" * 20, b"-0000000000000000001"])
def test_a_torn_file_says_nothing(bench: Bench, text: bytes) -> None:
    """A file that was not written whole is as good as none."""
    path = bench.proxy.directory.path / POSITION
    path.touch(mode=0o600)
    path.write_bytes(text)
    assert PositionHint(bench.proxy.directory).read() == 0


def test_it_goes_with_the_last_frame(bench: Bench) -> None:
    """Removed, it says nothing any more; removing it twice is fine."""
    hint = PositionHint(bench.proxy.directory)
    hint.write(5)
    hint.remove()
    hint.remove()
    assert hint.read() == 0
