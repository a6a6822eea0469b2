"""What the tests of the reading side share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.query.stored import Stored

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """An empty database of this version."""
    return Stored(tmp_path / "responses.db")
