"""Paths on the command line: a URL in their place is refused, and its password stays unseen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from response_store.config.secret import is_url


class FilePath(click.Path):
    """The path of a file, with `~/` filled in, as a `Path`."""

    def __init__(self, **how: Any) -> None:
        super().__init__(readable=False, path_type=Path, **how)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Return the path, or fail with what is wanted."""
        text = os.fspath(value)
        if text.lower().startswith("sqlite:"):
            self.fail("this is a URL: write the path alone, without sqlite://", param, ctx)
        if is_url(text):
            self.fail(
                "this is a URL, and the path of a file is wanted here. The URL of a database goes"
                " into database_url of the configuration, or into RESPONSE_STORE_DATABASE_URL.",
                param,
                ctx,
            )
        if text.startswith("~/"):
            text = os.path.expanduser(text)  # noqa: PTH111 - a text
        return super().convert(text, param, ctx)
