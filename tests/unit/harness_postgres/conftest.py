"""Servers that a test may ask for, without a certificate authority of the system's."""

from __future__ import annotations

import pytest

from tests.harness.postgres_fixtures import *  # noqa: F403


@pytest.fixture(autouse=True)
def nothing_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """What libpq and OpenSSL read from the environment is not set."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "PGSSLMODE", "PGSSLROOTCERT", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)
