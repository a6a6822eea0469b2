"""`redact`: which patterns of secrets are looked for, and what is wrong with a user's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .model import RedactConfig
from .problems import Problem
from .yaml_nodes import KeyPath

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
    from response_store.redaction.regexes import (  # noqa: PLC0415 (RE2, where it is wanted)
        RegexError,
        compile_regex,
    )

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
