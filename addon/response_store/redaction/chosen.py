"""Build the redaction that a configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from response_store.config import RedactConfig
from response_store.counts import Counters
from response_store.faults import ErrorReporter

if TYPE_CHECKING:
    from response_store.redaction.rows import Redactor


def build_redactor(
    config: RedactConfig, counters: Counters, errors: ErrorReporter
) -> Redactor | None:
    """Build what takes secrets out of records; None where the configuration keeps them as they
    are.
    """
    if not config:
        return None
    # Nobody else needs RE2.
    from response_store.ingest.compression import Compressor  # noqa: PLC0415
    from response_store.redaction.patterns import build_patterns  # noqa: PLC0415
    from response_store.redaction.rows import Redactor  # noqa: PLC0415

    return Redactor(build_patterns(config), Compressor().frame, counters, errors)
