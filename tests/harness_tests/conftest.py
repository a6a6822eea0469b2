"""Nothing of the machine's own settings takes part."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def nothing_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """What libpq and OpenSSL read from the environment is not set."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "PGSSLMODE", "PGSSLROOTCERT", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)
