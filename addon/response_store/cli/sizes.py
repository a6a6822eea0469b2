"""Sizes as people say them: `500MB`, `2 GiB`, `1048576`."""

from __future__ import annotations

import re

import click

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE)
_POWERS = "kmgt"


def parse_size(text: str) -> int:
    """Return the bytes that a text means: MB are millions, MiB
    1024 times 1024. Raises ValueError.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size")
    number, unit, binary = match.groups()
    power = _POWERS.index(unit.lower()) + 1 if unit else 0
    return int(float(number) * (1024 if binary else 1000) ** power)


class Size(click.ParamType):  # type: ignore[type-arg]  # older releases have no argument
    """A size on the command line; becomes bytes."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the bytes, or fail with a message that shows what can be written."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value))
        except ValueError:
            self.fail(f"{value!r} is no size. Say 500MB, 2GB or 1.5GiB.", param, ctx)
