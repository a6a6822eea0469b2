"""From a configuration to the redaction that it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from response_store.config import RedactConfig
from response_store.counts import Counters
from response_store.faults import ErrorReporter

if TYPE_CHECKING:
    from response_store.redaction.rows import Redaction


def redaction_of(
    config: RedactConfig, counters: Counters, errors: ErrorReporter
) -> Redaction | None:
    """What takes the secrets out of records; None where they are kept as they are."""
    if not config:
        return None
    # Nobody else needs RE2.
    from response_store.ingest.compression import Compressor  # noqa: PLC0415
    from response_store.redaction.patterns import patterns_of  # noqa: PLC0415
    from response_store.redaction.rows import Redaction  # noqa: PLC0415

    return Redaction(patterns_of(config), Compressor().frame, counters, errors)
