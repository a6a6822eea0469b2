"""A text that never shows itself."""

from __future__ import annotations

import hmac
import re
from typing import NoReturn, Self


class Secret:
    """A text that prints as `***`, whatever prints it; `reveal` is the one way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself: only for the driver that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(_encode(self), _encode(other))

    def __hash__(self) -> int:
        return hash(self._text)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse: a pickle would carry the text to wherever it is written."""
        raise TypeError("a Secret can't be pickled")


def mask_credentials(text: str) -> str:
    """Return a path or name that may be shown: without what is before an @, perhaps credentials."""
    before, at, after = text.rpartition("@")
    return f"***@{after}" if at and before else text


def mask_urls(text: str) -> str:
    """Return a text of whatever origin without the credentials of the URLs in it."""
    return _PASSWORD.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", text))


def is_url(text: str) -> bool:
    """Return whether a text is a URL, or libpq's key=value pairs, and not the path of a file."""
    return _URL.match(text) is not None


# One slash is left where the URL went through a path.
_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/{1,3})[^\s'\"]*@")
_PASSWORD = re.compile(r"((?:password|passwd|pwd)\s*=\s*)('[^']*'|[^\s&;'\"]+)", re.IGNORECASE)
_URL = re.compile(
    r"[\s'\"]*([A-Za-z][A-Za-z0-9+.-]+:/|postgres(ql)?:|sqlite:|jdbc:|[A-Za-z_]+\s*=\s*\w+:/"
    r"|.*\b(password|dbname)\s*=)",
    re.IGNORECASE,
)


def _encode(secret: Secret) -> bytes:
    return secret.reveal().encode("utf-8", "surrogatepass")
