"""Configuration: YAML, then the schema, then the rules, then frozen values."""

from __future__ import annotations

from response_store.errors import ConfigError

from .config import Config
from .load import URL_VARIABLE, apply_shaping, load_config
from .model import (
    Acknowledge,
    Backend,
    CaptureConfig,
    Durability,
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
from .secret import Secret
from .summary import list_effective_settings, promises
from .tables import TableNames
from .unsafe import list_security_warnings

__all__ = [
    "URL_VARIABLE",
    "Acknowledge",
    "Backend",
    "CaptureConfig",
    "Config",
    "ConfigError",
    "Durability",
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
