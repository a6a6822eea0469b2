"""The bench that the tests of the ingester have."""

from __future__ import annotations

from tests.unit.ingest.conftest import bench, make_bench

__all__ = ["bench", "make_bench"]
