"""How the command line ends, whatever happens: a status and a line of text, never a traceback.

Streams that are closed, a full disk, a reader that has gone, a working directory that was removed;
and errors of our own, which are named by their place. URLs in any message lose their credentials.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import click

from response_store.config.secret import mask_urls
from response_store.telling.printable import escape_controls

FAILED = 1
OWN_ERROR = 70
_TRACEBACK = "RESPONSE_STORE_TRACEBACK"
_STREAMS = ("stdin", "stdout", "stderr")


def run_guarded(command: Callable[[], Any]) -> NoReturn:
    """Run a command that click does not end by itself, and end the process with its status."""
    _open_closed_streams()
    sys.exit(_flush_streams(_run(command)))


def _run(command: Callable[[], Any]) -> int:
    try:
        status = command()
    except click.ClickException as error:
        error.message = mask_urls(error.message)  # type: ignore[misc]
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("Aborted!", err=True)
        return FAILED
    except OSError as error:
        return _report_os_error(error)
    except Exception as error:  # noqa: BLE001 - nobody is to see a traceback
        return _report_own_error(error)
    return status if isinstance(status, int) else 0


def _report_os_error(error: OSError) -> int:
    if error.errno == errno.EPIPE:
        return 0  # whoever read has enough
    _say(f"Error: {_explain(error)}")
    return FAILED


def _explain(error: OSError) -> str:
    try:
        os.getcwd()  # noqa: PTH109 - whether there is one is what is asked
    except OSError:
        return "the working directory has been removed. Change to one that exists: cd"
    reason = error.strerror or type(error).__name__
    where = f"{error.filename}: " if error.filename else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"{where}the disk is full ({reason}). Make room, and run the command again."
        case errno.EBADF:
            return f"{where}standard output is closed ({reason}). Open it, or send it to a file."
        case _:
            return f"{where}{reason}. Check the path, the disk and the permissions."


def _report_own_error(error: Exception) -> int:
    if os.environ.get(_TRACEBACK):
        traceback.print_exception(error)
        return OWN_ERROR
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" in {os.path.basename(at.filename)}:{at.lineno}" for at in last)  # noqa: PTH119
    _say(
        f"Error: an error of Response Store's own ({type(error).__name__}{place})."
        f" {_TRACEBACK}=1 shows where it comes from; please report it."
    )
    return OWN_ERROR


def _say(text: str) -> None:
    with suppress(OSError):
        click.echo(escape_controls(mask_urls(text)), err=True)


def _flush_streams(status: int) -> int:
    """Write out what is left; what can't be written any more counts, but for a reader's end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            status = status or _report_os_error(error)
            # Python would try again at its end, and complain.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return status


def _open_closed_streams() -> None:
    """Have every standard stream: the number of a closed one would go to the next file.

    Writing to one that was closed stays an error.
    """
    for number, name in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            flags = os.O_WRONLY if name == "stderr" else os.O_RDONLY
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - a number
