"""Check what a schema can't say, key by key: problems, each with its key's path."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from response_store.config.model import OwnPrice, RedactConfig
from response_store.config.problems import Problem
from response_store.config.table_names import find_collisions, find_name_problems
from response_store.config.yaml_reader import KeyPath

COMMON = "common"
MAX_CHARACTERS = 1000
MAX_OWN = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def build_redact_config(setting: Any) -> RedactConfig:
    """Return the redaction that a setting without faults asks for."""
    if setting in (None, False, "off"):
        return RedactConfig((), ())
    if setting == COMMON:
        setting = {}
    named = _get_list(setting, "patterns", [COMMON])
    own = tuple((pattern["name"], pattern["regex"]) for pattern in _get_list(setting, "custom", []))
    return RedactConfig(_list_known() if COMMON in named else tuple(named), own)


def find_redact_problems(setting: Any) -> Iterator[tuple[KeyPath, Problem]]:
    """Yield what is wrong with the user's own patterns, in a setting that obeys the schema."""
    if not isinstance(setting, Mapping):
        return
    own = _get_list(setting, "custom", [])
    if len(own) > MAX_OWN:
        rule = f"the list holds more than {MAX_OWN} patterns"
        yield ("redact", "custom"), Problem(rule, "Put several into one expression: a|b|c.")
    names: set[str] = {*_list_known(), COMMON}
    for at, pattern in enumerate(own):
        path: KeyPath = ("redact", "custom", at)
        if not _NAME.fullmatch(pattern["name"]):
            rule = "the name must be 1 to 64 letters, digits, dots, underscores or hyphens"
            yield (*path, "name"), Problem(rule, "Write a name such as customer-id.")
        elif pattern["name"] in names:
            yield (*path, "name"), Problem("the name is taken", "Give the pattern another name.")
        names.add(pattern["name"])
        for problem in _find_regex_problems(pattern["regex"]):
            yield (*path, "regex"), problem


def _find_regex_problems(regex: str) -> Iterator[Problem]:
    if not 0 < len(regex) <= MAX_CHARACTERS:
        rule = f"the expression must be 1 to {MAX_CHARACTERS} characters long"
        yield Problem(rule, "Write a shorter one, or several.")
        return
    from response_store.redaction.patterns import RegexError, compile_regex  # noqa: PLC0415

    try:
        compile_regex(regex)
    except RegexError as error:
        yield Problem(str(error), error.hint)


def _get_list(setting: Mapping[str, Any], key: str, otherwise: list[Any]) -> list[Any]:
    value = setting.get(key)
    return otherwise if value is None else value


def _list_known() -> tuple[str, ...]:
    from response_store.redaction.known import KNOWN  # noqa: PLC0415 (where it is wanted)

    return tuple(KNOWN)


LocatedProblems = Iterator[tuple[KeyPath, Problem]]

TABLE_KEYS = ("responses_table", "conversations_table", "exchanges_table")

# Headers that carry credentials: none of them is ever stored, so none can name a tenant.
SECRET_HEADERS = frozenset(
    {
        "api-key",
        "authorization",
        "chatgpt-account-id",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "x-api-key",
        "x-codex-turn-metadata",
    }
)

# What others are called, of whatever vendor: x-goog-api-key, x-auth-token, private-token.
_SECRET_PART = re.compile(
    r"(?:^|[-_.])(?:api)?(?:key|token|secret|passw(?:or)?d|auth(?:orization)?|cookie|credentials?|jwt"
    r"|signature)s?(?:$|[-_.])"
)
_HEADER_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.1
_HOST_PATTERN = re.compile(r"[\w.*?:-]+")
_PORT = re.compile(r"[^:]*:[0-9*]+")  # an IPv6 address has more colons


def find_rule_problems(settings: dict[str, Any]) -> LocatedProblems:
    """Yield what is wrong with settings that obey the schema."""
    yield from _check_tables(settings)
    yield from _check_hosts(settings["capture"]["hosts"])
    yield from _check_label(settings["capture"])
    yield from _check_tenant(settings["tenant"])
    yield from _check_pool(settings["pool"])
    yield from _check_journal(settings["journal"]["path"])
    yield from _check_serving(settings)
    yield from find_redact_problems(settings["redact"])
    yield from _check_prices(settings["prices"])


def _check_tables(settings: dict[str, Any]) -> LocatedProblems:
    names = [settings[key] for key in TABLE_KEYS]
    problems = [
        ((key,), problem)
        for key, name in zip(TABLE_KEYS, names, strict=True)
        for problem in find_name_problems(name)
    ]
    yield from problems or (((key,), problem) for key, problem in find_collisions(*names))


def _check_hosts(hosts: Iterable[str]) -> LocatedProblems:
    for at, host in enumerate(hosts):
        if not _HOST_PATTERN.fullmatch(host):
            rule = "the host pattern is empty or has a character that no host has"
        elif _PORT.fullmatch(host):
            rule = "the host pattern has a port"
        else:
            continue
        yield ("capture", "hosts", at), Problem(rule, _HOST_MEND)


_HOST_MEND = "Write a host name or address alone, such as api.openai.com or *.openai.azure.com."


def _check_tenant(tenant: dict[str, Any]) -> LocatedProblems:
    if not tenant["id"] or not tenant["id"].isprintable() or len(tenant["id"]) > _MAX_TENANT_LENGTH:
        rule = f"the tenant must be 1 to {_MAX_TENANT_LENGTH} printable characters"
        yield ("tenant", "id"), Problem(rule, "Write a name, such as team-a.")
    yield from _check_header(("tenant", "header"), tenant["header"], "a tenant", "x-tenant-id")


def _check_label(capture: dict[str, Any]) -> LocatedProblems:
    label = capture["label"]
    if label is not None and not (label and label.isprintable() and len(label) <= _MAX_LABEL):
        rule = f"the label must be 1 to {_MAX_LABEL} printable characters"
        yield ("capture", "label"), Problem(rule, "Write a word or two, such as nightly.")
    place = ("capture", "session_header")
    yield from _check_header(place, capture["session_header"], "a session", "x-session-id")


_MAX_LABEL = 200


def _check_header(
    place: tuple[str, str], header: str | None, what: str, example: str
) -> LocatedProblems:
    """Yield what is wrong with the name of a header whose value is stored."""
    if header is None:
        return
    if not _HEADER_TOKEN.fullmatch(header) or len(header) > _MAX_HEADER_LENGTH:
        rule = "this can't be the name of a header"
        yield place, Problem(rule, f"Write a header's name, such as {example}.")
    elif header.lower() in SECRET_HEADERS or _SECRET_PART.search(header.lower()):
        rule = f"this header carries credentials, and what names {what} is stored"
        yield place, Problem(rule, "Take a header that holds no secret.")


_MAX_TENANT_LENGTH = 255
_MAX_HEADER_LENGTH = 128


def _check_pool(pool: dict[str, Any]) -> LocatedProblems:
    if pool["min_connections"] > pool["max_connections"]:
        rule = f"min_connections must not exceed max_connections ({pool['max_connections']})"
        yield ("pool", "min_connections"), Problem(rule, "Lower it, or raise max_connections.")


def _check_journal(path: str | None) -> LocatedProblems:
    if path is None:
        return
    if not path or not path.isprintable() or len(path) > _MAX_PATH_LENGTH:
        rule = f"the path must be 1 to {_MAX_PATH_LENGTH} printable characters"
    elif "://" in path:
        rule = "this is a URL, not the path of a folder"
    else:
        return
    yield ("journal", "path"), Problem(rule, "Write the whole path of a folder for journals.")


_MAX_PATH_LENGTH = 4_096


def _check_serving(settings: dict[str, Any]) -> LocatedProblems:
    if settings["serve"] in _SERVING and "responses" not in settings["capture"]["apis"]:
        rule = "serve answers for responses, and capture.apis leaves them out"
        yield ("serve",), Problem(rule, "Add responses to capture.apis, or take serve out.")
    for at, host in enumerate(settings["serve_hosts"]):
        if not _SERVED_HOST.fullmatch(host) or _PORT.fullmatch(host):
            rule = "this is no host name or address, which stands alone, without scheme and port"
            yield ("serve_hosts", at), Problem(rule, "Write a name, such as model-server.lan.")
    token = settings["serve_token"]
    if token is not None and not _TOKEN.fullmatch(token):
        rule = "the token must be 16 to 256 characters that a header can carry, without blanks"
        yield ("serve_token",), Problem(rule, "Make one: openssl rand -hex 32.")


_SERVED_HOST = re.compile(r"[\w.:-]{1,255}")
_TOKEN = re.compile(r"[!-~]{16,256}")


_SERVING = ("prefer", "only")


PRICE_KEYS = ("input", "cached_input", "cache_write", "output")


def build_own_prices(entries: Iterable[Mapping[str, Any]]) -> tuple[OwnPrice, ...]:
    """Return the prices that entries without faults give, in their order."""
    return tuple(
        OwnPrice(
            model=entry["model"],
            service_tier=entry.get("service_tier"),
            **{key: Decimal(str(entry[key])) for key in PRICE_KEYS if entry.get(key) is not None},
        )
        for entry in entries
    )


def _check_prices(entries: Sequence[Mapping[str, Any]]) -> LocatedProblems:
    if len(entries) > _MAX_PRICES:
        rule = f"the list holds more than {_MAX_PRICES} prices"
        yield ("prices",), Problem(rule, "Put models of one price together: gpt-5.1*.")
    known: set[tuple[str, str | None]] = set()
    for at, entry in enumerate(entries):
        path: KeyPath = ("prices", at)
        for key in ("model", "service_tier"):
            name = entry.get(key)
            if name is not None and (not name or len(name) > _MAX_NAME or not name.isprintable()):
                rule = f"the name must be 1 to {_MAX_NAME} printable characters"
                yield (*path, key), Problem(rule, "Write a name, such as gpt-5.1* or flex.")
        for key in PRICE_KEYS:
            if (price := entry.get(key)) is not None and not math.isfinite(price):
                rule = "the price is no finite number"
                yield (*path, key), Problem(rule, "Write USD per million tokens, such as 1.25.")
        identity = (entry["model"].lower(), entry.get("service_tier"))
        if identity in known:
            rule = "the model has a price for this tier already, and the first one counts"
            yield (*path, "model"), Problem(rule, "Take one of the two out.")
        known.add(identity)


_MAX_PRICES = 500
_MAX_NAME = 200
