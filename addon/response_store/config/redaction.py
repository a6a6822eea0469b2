"""`redact`: which patterns of secrets are looked for, and what is wrong with a user's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .model import RedactConfig
from .problems import Fault
from .yaml_nodes import KeyPath

COMMON = "common"
MOST_CHARACTERS = 1000
MOST_OWN = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def redact_config(setting: Any) -> RedactConfig:
    """Return the redaction that a setting without faults asks for."""
    if setting in (None, False, "off"):
        return RedactConfig((), ())
    if setting == COMMON:
        setting = {}
    named = _given(setting, "patterns", [COMMON])
    own = tuple((each["name"], each["regex"]) for each in _given(setting, "custom", []))
    return RedactConfig(_known() if COMMON in named else tuple(named), own)


def redact_faults(setting: Any) -> Iterator[tuple[KeyPath, Fault]]:
    """Yield what is wrong with the user's own patterns, in a setting that obeys the schema."""
    if not isinstance(setting, Mapping):
        return
    own = _given(setting, "custom", [])
    if len(own) > MOST_OWN:
        rule = f"the list holds more than {MOST_OWN} patterns"
        yield ("redact", "custom"), Fault(rule, "Put several into one expression: a|b|c.")
    names: set[str] = {*_known(), COMMON}
    for at, each in enumerate(own):
        path: KeyPath = ("redact", "custom", at)
        if not _NAME.fullmatch(each["name"]):
            rule = "the name must be 1 to 64 letters, digits, dots, underscores or hyphens"
            yield (*path, "name"), Fault(rule, "Write a name such as customer-id.")
        elif each["name"] in names:
            yield (*path, "name"), Fault("the name is taken", "Give the pattern another name.")
        names.add(each["name"])
        for fault in _regex_faults(each["regex"]):
            yield (*path, "regex"), fault


def _regex_faults(regex: str) -> Iterator[Fault]:
    if not 0 < len(regex) <= MOST_CHARACTERS:
        rule = f"the expression must be 1 to {MOST_CHARACTERS} characters long"
        yield Fault(rule, "Write a shorter one, or several.")
        return
    from response_store.redaction.regexes import (  # noqa: PLC0415 (RE2, where it is wanted)
        RegexError,
        compiled,
    )

    try:
        compiled(regex)
    except RegexError as error:
        yield Fault(str(error), error.mend)


def _given(setting: Mapping[str, Any], key: str, otherwise: list[Any]) -> list[Any]:
    value = setting.get(key)
    return otherwise if value is None else value


def _known() -> tuple[str, ...]:
    from response_store.redaction.known import KNOWN  # noqa: PLC0415 (where it is wanted)

    return tuple(KNOWN)
