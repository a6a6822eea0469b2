"""From a YAML file and the environment to a configuration, or to every problem at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from response_store.errors import ConfigError

from .config import SHAPING_KEYS, Config
from .database import find_database_problems
from .problems import LocatedProblem, Problem, format_problems
from .rules import find_rule_problems
from .schema import fill_defaults, find_schema_problems, format_key
from .variables import expand_settings
from .yaml_nodes import KeyPath
from .yaml_source import Document, read_document

URL_VARIABLE = "RESPONSE_STORE_DATABASE_URL"
DEFAULTS = "defaults"


def load_config(
    path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ
) -> Config:
    """Return the configuration in a YAML file, or the defaults where `path` is None.

    `RESPONSE_STORE_DATABASE_URL` in `environ`, unless it is empty, wins over `database_url` in the
    file. Opens nothing but the file and the schema. Raises `ConfigError` with every problem.
    """
    document = Document(DEFAULTS) if path is None else read_document(path)
    url = environ.get(URL_VARIABLE) or None
    settings, problems = _check(document, url, environ)
    if problems:
        raise ConfigError(format_problems(problems))
    return Config.from_settings(settings, document.source)


def apply_shaping(config: Config, shaping: Mapping[str, Any], source: str) -> Config:
    """Return `config` with what another one's `shaping()` says in place of its own.

    `source` is the file that it comes from: it is checked as a YAML file is, and nothing but what
    shapes a row is taken from it. Raises `ConfigError` with every problem.
    """
    if shaping.keys() != set(SHAPING_KEYS):
        raise ConfigError(format_problems([LocatedProblem(source, None, "", *_OTHER_KEYS)]))
    own = {**config.settings, "database_url": config.database_url.reveal()}
    settings, problems = _check(Document(source, own | dict(shaping)), None)
    if problems:
        raise ConfigError(format_problems(problems))
    return Config.from_settings(settings, config.source, config.directory)


_OTHER_KEYS = Problem(
    "the settings in it are not those that this version keeps",
    "Use the version of Response Store that wrote it.",
)


def _check(
    document: Document, url: str | None, environ: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], list[LocatedProblem]]:
    """Return the settings and what is wrong; variables are filled in where `environ` is given."""
    problems = [
        LocatedProblem(document.source, line, format_key(path), *problem)
        for path, line, problem in document.problems
    ]
    if not document.readable:
        return {}, problems
    broken = list(find_schema_problems(document.values))
    problems += [_locate(document, path, problem) for path, problem in broken]
    settings = fill_defaults(_remove_broken(document.values, [path for path, _ in broken]))
    if url is not None:
        settings["database_url"] = url
    unfilled = [] if environ is None else list(expand_settings(settings, environ))
    broken_rules = [*unfilled, *find_rule_problems(settings)]
    if not any(path == ("database_url",) for path, _ in unfilled):
        broken_rules += [((key,), problem) for key, problem in find_database_problems(settings)]
    from_environment = url is not None
    problems += [
        _locate(document, path, problem, from_environment) for path, problem in broken_rules
    ]
    return settings, problems


def _remove_broken(values: Mapping[str, Any], broken: list[KeyPath]) -> dict[str, Any]:
    """Return the values without those that break the schema, so
    that the rules can check the others.
    """
    kept = {
        key: _remove_broken(value, _select_under(key, broken)) if isinstance(value, dict) else value
        for key, value in values.items()
        if (key,) not in broken
    }
    for key, value in values.items():
        # A list counts as a whole: its other items keep their places in messages.
        if isinstance(value, list) and _select_under(key, broken):
            kept.pop(key, None)
    return kept


def _select_under(key: str, paths: list[KeyPath]) -> list[KeyPath]:
    return [path[1:] for path in paths if path[:1] == (key,)]


def _locate(
    document: Document, path: KeyPath, problem: Problem, from_environment: bool = False
) -> LocatedProblem:
    if path == ("database_url",) and from_environment:
        return LocatedProblem(URL_VARIABLE, None, "database_url", *problem)
    return LocatedProblem(document.source, document.line(path), format_key(path), *problem)
