"""What a socket needs that is open for a day is carried over, and the journal stays small."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.acceptance.ingester.socket_of_a_day import Day, check


def test_a_day(tmp_path: Path) -> None:
    """Beside three times what the journal may hold."""
    day = Day(tmp_path, 200 << 20)
    day.run()
    check(day)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_day_beside_ten_gigabytes(tmp_path: Path) -> None:
    """Beside 10 GB, with `max_bytes` 64 MB."""
    day = Day(tmp_path, 10 << 30)
    day.run()
    check(day)
    print(json.dumps(asdict(day.held)))
