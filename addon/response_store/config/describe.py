"""Describe what is in force, and what of it is unsafe, as lines that may be shown anywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from response_store.config.load import Config
from response_store.config.model import RedactConfig, Serve
from response_store.config.secret import Secret, mask_credentials

if TYPE_CHECKING:
    from response_store.config.postgres_target import PostgresTarget


def list_effective_settings(config: Config) -> dict[str, str]:
    """Return each effective setting by its key. Holds no secret."""
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
        "capture.label": capture.label or "none",
        "capture.session_header": capture.session_header or "none",
        "capture.raw_bodies": capture.raw_bodies,
        "capture.max_body_bytes": str(capture.max_body_bytes),
        "capture.input_columns": capture.input_columns,
        "tenant.id": tenant.id,
        "tenant.header": tenant.header or "none",
        "completion_wait_ms": str(config.completion_wait_ms),
        "durability": config.durability,
        "acknowledge": config.acknowledge,
        "journal.path": _describe_journals(config.journal.path),
        "journal.max_bytes": str(config.journal.max_bytes),
        "on_store_failure": config.on_store_failure,
        "serve": config.serve,
        "serve_remote": str(config.serve_remote).lower(),
        "serve_hosts": ", ".join(config.serve_hosts) or "none",
        "serve_token": "set" if config.serve_token else "none",
        "retention.max_age_days": str(config.retention.max_age_days or "none"),
        "retention.max_bytes": str(config.retention.max_bytes or "none"),
        "redact": _describe_redaction(config.redact),
        "prices": ", ".join(one.model for one in config.prices) or "none",
    } | _list_postgres_settings(config)


def promises(config: Config) -> str:
    """Return what is promised of each record, in half a line."""
    words = [
        f"durability {config.durability.value}",
        f"acknowledge {config.acknowledge.value}",
        f"on store failure {config.on_store_failure.value}",
    ]
    if config.serve is not Serve.OFF:
        words.append(f"serve {config.serve.value}")
    return ", ".join(words)


def _list_postgres_settings(config: Config) -> dict[str, str]:
    """Return the settings that only count with PostgreSQL."""
    server, pool = config.database.server, config.pool
    if server is None:
        return {}
    return {
        "database hosts": server.host_policy.value,
        "ssl_mode": server.tls.mode,
        "ssl_root_cert": _describe_authorities(server),
        "pool.min_connections": str(pool.min_connections),
        "pool.max_connections": str(pool.max_connections),
        "pool.idle_timeout_secs": str(pool.idle_timeout_secs),
        "pool.acquire_timeout_secs": str(pool.acquire_timeout_secs),
    }


def _describe_journals(path: Path | None) -> str:
    """Return the folder of the journals, or the words for the default one."""
    return _DEFAULT_JOURNALS if path is None else mask_credentials(str(path))


_DEFAULT_JOURNALS = "none: in $STATE_DIRECTORY, else in the user's state folder"


def _describe_redaction(redact: RedactConfig) -> str:
    """Return the names alone: an expression may hold what nobody is to see."""
    return ", ".join((*redact.patterns, *(name for name, _ in redact.custom))) or "off"


def _describe_authorities(target: PostgresTarget) -> str:
    if not target.tls.mode.verifies:
        return "none: the server is not verified"
    return mask_credentials(target.tls.root_cert or "those that the system trusts")


def list_security_warnings(config: Config) -> tuple[str, ...]:
    """Return what to warn of at start, a sentence or two each. Holds
    no secret, and asks no resolver.
    """
    database = config.database
    of_database = (*database.warnings(), *_find_placeholder(database.password))
    of_serving = () if config.serve is Serve.OFF or not config.serve_remote else (_REMOTE,)
    return (*map(str, of_database), *of_serving)


def _find_placeholder(password: Secret | None) -> tuple[str, ...]:
    if password is None or not _PLACEHOLDER.fullmatch(password.reveal()):
        return ()
    return (_TO_FILL_IN,)


_PLACEHOLDER = re.compile(
    r"\[.*\]|<.*>|\{.*\}|\$[A-Za-z_]+|%[A-Za-z_]+%|\*+|your[-_ ]?password.*", re.IGNORECASE
)
_TO_FILL_IN = (
    "The password in database_url reads like a place to fill in, as [YOUR-PASSWORD] is: write the "
    "password there. ${NAME} is filled in from the environment, $NAME is not."
)
_REMOTE = (
    "serve_remote is true: everyone who reaches this proxy can read and delete what is stored, "
    "also of another tenant, whose name is all that is asked for. Let only those reach it who may."
)
