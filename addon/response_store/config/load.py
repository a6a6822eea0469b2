"""Load a configuration from a YAML file and the environment, or say every problem at once.

What is filled in is judged afterwards like anything that stands in the file. `$${` stands for `${`.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from response_store.config.database_url import build_target, choose_backend, find_database_problems
from response_store.config.model import (
    Acknowledge,
    Backend,
    CaptureConfig,
    Durability,
    InputColumns,
    JournalConfig,
    OnStoreFailure,
    OwnPrice,
    PoolConfig,
    RawBodies,
    RedactConfig,
    RetentionConfig,
    Serve,
    SqliteTarget,
    StoreFalse,
    TenantConfig,
)
from response_store.config.problems import LocatedProblem, Problem, format_problems
from response_store.config.rules import (
    TABLE_KEYS,
    build_own_prices,
    build_redact_config,
    find_rule_problems,
)
from response_store.config.schema import fill_defaults, find_schema_problems, format_key
from response_store.config.secret import Secret
from response_store.config.table_names import TableNames
from response_store.config.yaml_reader import Document, KeyPath, read_document
from response_store.errors import ConfigError

if TYPE_CHECKING:
    from response_store.config.postgres_target import PostgresTarget

SHAPING_KEYS = (*TABLE_KEYS, "capture", "tenant", "serve", "redact")


@dataclass(frozen=True, slots=True)
class Config:
    """All that is in force. `source` is the file it came from, or `defaults`.

    `settings` is what it was built from: the keys of the YAML file, each with its default where the
    file has none; the URL in it is a `Secret`. Relative paths count from `directory`, which is the
    working directory unless another process sent the configuration. `pool` is of use with
    PostgreSQL alone.
    """

    backend: Backend
    database: SqliteTarget | PostgresTarget
    database_url: Secret
    tables: TableNames
    capture: CaptureConfig
    tenant: TenantConfig
    completion_wait_ms: int
    durability: Durability
    on_store_failure: OnStoreFailure
    serve: Serve
    serve_remote: bool
    serve_hosts: tuple[str, ...]
    serve_token: Secret | None
    retention: RetentionConfig
    redact: RedactConfig
    prices: tuple[OwnPrice, ...]
    pool: PoolConfig
    acknowledge: Acknowledge
    journal: JournalConfig
    source: str
    settings: Mapping[str, Any] = field(repr=False, compare=False)
    directory: Path = field(repr=False, compare=False)

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], source: str, directory: Path = Path()
    ) -> Self:
        """Return the configuration that checked settings, with every key and the URL, stand for."""
        settings = _normalize(settings)
        journal = settings["journal"]
        return cls(
            backend=Backend(settings["backend"]),
            database=build_target(settings, directory),
            database_url=Secret(settings["database_url"]),
            tables=TableNames(*(settings[key] for key in TABLE_KEYS)),
            capture=_build_capture(settings["capture"]),
            tenant=TenantConfig(**settings["tenant"]),
            completion_wait_ms=settings["completion_wait_ms"],
            durability=Durability(settings["durability"]),
            on_store_failure=OnStoreFailure(settings["on_store_failure"]),
            serve=Serve(settings["serve"]),
            serve_remote=settings["serve_remote"],
            serve_hosts=tuple(settings["serve_hosts"]),
            serve_token=settings["serve_token"] and Secret(settings["serve_token"]),
            retention=RetentionConfig(**settings["retention"]),
            redact=build_redact_config(settings["redact"]),
            prices=build_own_prices(settings["prices"]),
            pool=PoolConfig(**settings["pool"]),
            acknowledge=Acknowledge(settings["acknowledge"]),
            journal=JournalConfig(
                path=journal["path"] and directory / journal["path"],
                max_bytes=journal["max_bytes"],
            ),
            source=source,
            settings={**settings, "database_url": Secret(settings["database_url"])},
            directory=directory,
        )

    @classmethod
    def from_message(cls, data: bytes, source: str) -> Self:
        """Return the configuration that `to_message` has encoded, its relative paths absolute.

        Checks nothing again: only what this program sent itself may come here.
        """
        message = json.loads(data)
        return cls.from_settings(message["settings"], source, Path(message["directory"]))

    def to_message(self) -> bytes:
        """Return the configuration as JSON for another process. It holds the URL: never show it.

        Raises ConfigError where the working directory, which relative paths count from, is gone.
        """
        try:
            directory = self.directory.absolute()
        except OSError:
            raise ConfigError(_NO_DIRECTORY) from None
        settings = {**self.settings, "database_url": self.database_url.reveal()}
        return json.dumps({"directory": str(directory), "settings": settings}).encode()

    def shaping(self) -> dict[str, Any]:
        """Return the settings that decide which rows there are and what is in them.

        Plain values that JSON takes, without the URL: a journal keeps them for those who apply it.
        """
        return {key: copy.deepcopy(self.settings[key]) for key in SHAPING_KEYS}

    def same_as(self, other: Config) -> bool:
        """Return whether both have the same settings, whatever files they come from."""
        return self.settings == other.settings


_NO_DIRECTORY = (
    "Response Store: the folder that mitmproxy was started in has been removed, so that relative "
    "paths lead nowhere.\n    Start mitmproxy in a folder that exists."
)


def _normalize(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which equal meanings are equal values."""
    tenant, journal = settings["tenant"], settings["journal"]
    path, redact = journal["path"], settings["redact"]
    return {
        **settings,
        "backend": choose_backend(settings).value,
        "tenant": {**tenant, "header": tenant["header"] and tenant["header"].lower()},
        "serve": settings["serve"] or Serve.OFF.value,
        "redact": "off" if redact is False else redact,
        "journal": {**journal, "path": path and str(Path(path).expanduser())},
    }


def _build_capture(settings: Mapping[str, Any]) -> CaptureConfig:
    return CaptureConfig(
        hosts=tuple(settings["hosts"]),
        apis=frozenset(settings["apis"]),
        store_false=StoreFalse(settings["store_false"]),
        raw_bodies=RawBodies(settings["raw_bodies"]),
        max_body_bytes=settings["max_body_bytes"],
        label=settings["label"],
        session_header=settings["session_header"] and settings["session_header"].lower(),
        input_columns=InputColumns(settings["input_columns"]),
    )


_PATHS = (("database_url",), ("ssl_root_cert",), ("journal", "path"))
_REFERENCE = re.compile(r"\$(\$\{|\{([A-Za-z_][A-Za-z0-9_]*)\}|\{)")
_SHOWN = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_HOME = re.compile(r"(sqlite:(?://)?)(~[^/?]*)")
_ONLY_NAMES = Problem(
    "'${' begins a variable, and no plain name and '}' follow",
    "Write ${NAME}: nothing else, such as a default, is filled in. $${ stands for ${ itself.",
)
_NO_HOME = Problem(
    "the path begins with ~, and that user has no home folder", "Write the whole path of it."
)


def expand_settings(
    settings: dict[str, Any], environ: Mapping[str, str]
) -> Iterator[tuple[KeyPath, Problem]]:
    """Fill in the URL and the paths of settings in place, and yield what can't be."""
    for path in _PATHS:
        holder = settings if len(path) == 1 else settings[path[0]]
        text = holder[path[-1]]
        if not isinstance(text, str):
            continue
        expanded = _expand(text, environ)
        if isinstance(expanded, Problem):
            yield path, expanded
        else:
            holder[path[-1]] = expanded


def _expand(text: str, environ: Mapping[str, str]) -> str | Problem:
    for _, name in (match.group(1, 2) for match in _REFERENCE.finditer(text)):
        if name is not None and name not in environ:
            return _describe_undefined(name)
    if any(match[1] == "{" for match in _REFERENCE.finditer(text)):
        return _ONLY_NAMES
    filled = _REFERENCE.sub(lambda match: environ[match[2]] if match[2] is not None else "${", text)
    return _expand_home(filled)


def _describe_undefined(name: str) -> Problem:
    """Return the fault, with the name only where it is certainly one
    of a variable: a password is none.
    """
    shown = f"${{{name}}}" if _SHOWN.fullmatch(name) else "a variable in ${}"
    return Problem(
        f"{shown} is not defined in the environment",
        "Set it where the proxy and the commands are started. $${ stands for ${ itself.",
    )


def _expand_home(text: str) -> str | Problem:
    match = _HOME.match(text)
    try:
        if match is not None:
            home = quote(str(Path(match[2]).expanduser()))
            return f"sqlite://{home}{text[match.end() :]}"
        return str(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError:
        return _NO_HOME


URL_VARIABLE = "RESPONSE_STORE_DATABASE_URL"
LABEL_VARIABLE = "RESPONSE_STORE_LABEL"
DEFAULTS = "defaults"


def load_config(
    path: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    default_url: str | None = None,
) -> Config:
    """Return the configuration in a YAML file, or the defaults where `path` is None.

    `RESPONSE_STORE_DATABASE_URL` and `RESPONSE_STORE_LABEL` in `environ`, unless they are empty,
    win over `database_url` and `capture.label` in the file. `default_url` counts where nothing
    names a database, in the place of `responses.db` in the working directory. Opens nothing but the
    file and the schema. Raises `ConfigError` with every problem.
    """
    document = Document(DEFAULTS) if path is None else read_document(path)
    url = environ.get(URL_VARIABLE) or None
    label = environ.get(LABEL_VARIABLE) or None
    if default_url is not None and url is None and document.values.get("backend") != "postgres":
        document.values.setdefault("database_url", default_url)
    settings, problems = _check(document, url, environ, label)
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
    document: Document,
    url: str | None,
    environ: Mapping[str, str] | None = None,
    label: str | None = None,
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
    if label is not None:
        settings["capture"]["label"] = label
    unfilled = [] if environ is None else list(expand_settings(settings, environ))
    broken_rules = [*unfilled, *find_rule_problems(settings)]
    if not any(path == ("database_url",) for path, _ in unfilled):
        broken_rules += [((key,), problem) for key, problem in find_database_problems(settings)]
    from_environment = {path for path, value in zip(_FROM, (url, label), strict=True) if value}
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


_FROM: dict[KeyPath, str] = {
    ("database_url",): URL_VARIABLE,
    ("capture", "label"): LABEL_VARIABLE,
}
"""The variables that win over a key."""


def _locate(
    document: Document,
    path: KeyPath,
    problem: Problem,
    from_environment: Collection[KeyPath] = (),
) -> LocatedProblem:
    if path in from_environment:
        return LocatedProblem(_FROM[path], None, format_key(path), *problem)
    return LocatedProblem(document.source, document.line(path), format_key(path), *problem)
