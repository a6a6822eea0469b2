"""What is in force, as lines that may be shown anywhere."""

from __future__ import annotations

from .model import Config


def in_force(config: Config) -> dict[str, str]:
    """Each thing that is in force, by its key. Holds no secret."""
    capture, tenant = config.capture, config.tenant
    return {
        "backend": config.backend,
        "database": config.database.describe(),
        "responses_table": config.tables.responses,
        "conversations_table": config.tables.conversations,
        "exchanges_table": config.tables.exchanges,
        "capture.hosts": ", ".join(capture.hosts),
        "capture.apis": ", ".join(sorted(capture.apis)),
        "capture.store_false": capture.store_false,
        "capture.raw_bodies": capture.raw_bodies,
        "capture.max_body_bytes": str(capture.max_body_bytes),
        "tenant.id": tenant.id,
        "tenant.header": tenant.header or "none",
        "completion_wait_ms": str(config.completion_wait_ms),
        "durability": config.durability,
        "on_store_failure": config.on_store_failure,
    }
