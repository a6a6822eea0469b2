"""Errors that keep a command from being run."""

from __future__ import annotations

from response_store.errors import ResponseStoreError

PROXY_FAILED = 1
NOT_CONFIGURED = 2
PROXY_LOST = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127
SAFE_MITMWEB = (11, 1, 2)  # CVE-2025-23217


class RunError(ResponseStoreError):
    """The command was not run; `status` is what a shell would end with, or ours."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class StoppedBySignal(Exception):  # noqa: N818 - nothing went wrong
    """A signal came before the command was started."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.status = compute_signal_status(number)


def compute_signal_status(number: int) -> int:
    """Return the status that shells give to a command which a signal ended."""
    return 128 + number


def require_safe_mitmweb(installed: str) -> None:
    """Raise RunError where this mitmproxy's web page can be used by any page in the browser."""
    numbers = tuple(int(part) for part in installed.split(".")[:3] if part.isdigit())
    if numbers < SAFE_MITMWEB:
        raise RunError(
            f"--web needs mitmproxy {'.'.join(map(str, SAFE_MITMWEB))} or later, and {installed} is"
            " installed: its mitmweb has the hole CVE-2025-23217, by which others reach its page."
            " Use Python 3.12 or later, or leave --web out",
            NOT_CONFIGURED,
        )
