"""Configuration: YAML, then the schema, then the rules, then frozen values."""

from __future__ import annotations

from response_store.config.describe import list_effective_settings, list_security_warnings, promises
from response_store.config.load import URL_VARIABLE, Config, apply_shaping, load_config
from response_store.config.model import (
    Acknowledge,
    Backend,
    CaptureConfig,
    Durability,
    InputColumns,
    JournalConfig,
    OnStoreFailure,
    PoolConfig,
    RawBodies,
    RedactConfig,
    RetentionConfig,
    Serve,
    SqliteTarget,
    StoreFalse,
    TenantConfig,
)
from response_store.config.secret import Secret
from response_store.config.table_names import TableNames
from response_store.errors import ConfigError

__all__ = [
    "URL_VARIABLE",
    "Acknowledge",
    "Backend",
    "CaptureConfig",
    "Config",
    "ConfigError",
    "Durability",
    "InputColumns",
    "JournalConfig",
    "OnStoreFailure",
    "PoolConfig",
    "RawBodies",
    "RedactConfig",
    "RetentionConfig",
    "Secret",
    "Serve",
    "SqliteTarget",
    "StoreFalse",
    "TableNames",
    "TenantConfig",
    "apply_shaping",
    "list_effective_settings",
    "list_security_warnings",
    "load_config",
    "promises",
]
