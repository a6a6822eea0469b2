"""A configuration with PostgreSQL, judged by all rules that concern it, without the loading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from response_store.config import TableNames
from response_store.config.addresses import Reach, reach_of
from response_store.config.postgres_names import postgres_name_faults
from response_store.config.postgres_target import PostgresTarget, postgres_target
from response_store.config.postgres_url import postgres_faults
from response_store.config.problems import Fault, Problem
from response_store.config.rules import TABLE_KEYS, rule_faults
from response_store.config.schema import key_name, schema_faults, with_defaults
from response_store.config.tls import SslMode

TYPES = {
    "allow_private_database_url": (bool, "a boolean"),
    "allow_dns_database_url": (bool, "a boolean"),
    "ssl_mode": (str, "a string"),
    "ssl_root_cert": (str, "a string"),
}


def target_of(config: Mapping[str, Any]) -> PostgresTarget:
    """What a configuration that nothing is wrong with names."""
    return postgres_target(**_arguments(config))


def problems_of(config: Mapping[str, Any]) -> list[Problem]:
    """All that is wrong with a configuration, as values that know their place."""
    return [Problem("store.yaml", None, key, *fault) for key, fault in _faults(config)]


def refusal_of(config: Mapping[str, Any]) -> str:
    """All that is wrong with a configuration, as one text; empty where nothing is."""
    return "\n".join(map(str, problems_of(config)))


def _faults(config: Mapping[str, Any]) -> Iterator[tuple[str, Fault]]:
    others = {key: value for key, value in config.items() if key not in TYPES}
    yield from ((key_name(path), fault) for path, fault in schema_faults(others))
    settings = with_defaults(others)
    rules = [(key_name(path), fault) for path, fault in rule_faults(settings)]
    yield from rules
    if not any(key in TABLE_KEYS for key, _ in rules):
        yield from postgres_name_faults(TableNames(*(settings[key] for key in TABLE_KEYS)))
    types = list(_type_faults(config))
    yield from types or postgres_faults(**_arguments(config))


def _type_faults(config: Mapping[str, Any]) -> Iterator[tuple[str, Fault]]:
    for key, (kind, name) in TYPES.items():
        if not isinstance(config.get(key), kind | None):
            yield key, Fault(f"the type must be {name}", f"Write {name}.")
    if isinstance(mode := config.get("ssl_mode"), str) and mode not in list(SslMode):
        yield "ssl_mode", Fault("not one of those allowed", "It is one of verify-full, ...")


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "url": config["database_url"],
        "reach": reach(config),
        "ssl_mode": config.get("ssl_mode"),
        "ssl_root_cert": config.get("ssl_root_cert"),
    }


def reach(config: Mapping[str, Any]) -> Reach:
    """The reach that a configuration's two keys give."""
    return reach_of(
        allow_dns=config.get("allow_dns_database_url") or False,
        allow_private=config.get("allow_private_database_url") or False,
    )
