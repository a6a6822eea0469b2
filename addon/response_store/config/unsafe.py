"""What a configuration allows although it is unsafe: sentences for the log and for a check."""

from __future__ import annotations

import re

from .config import Config
from .model import Serve
from .secret import Secret


def list_security_warnings(config: Config) -> tuple[str, ...]:
    """Return what to warn of at start, a sentence or two each. Holds
    no secret, and asks no resolver.
    """
    database = config.database
    of_database = (*database.warnings(), *_find_placeholder(database.password))
    of_serving = () if config.serve is Serve.OFF or not config.serve_remote else (_REMOTE,)
    return (*map(str, of_database), *of_serving)


def _find_placeholder(password: Secret | None) -> tuple[str, ...]:
    if password is None or not _PLACEHOLDER.fullmatch(password.reveal()):
        return ()
    return (_TO_FILL_IN,)


_PLACEHOLDER = re.compile(
    r"\[.*\]|<.*>|\{.*\}|\$[A-Za-z_]+|%[A-Za-z_]+%|\*+|your[-_ ]?password.*", re.IGNORECASE
)
_TO_FILL_IN = (
    "The password in database_url reads like a place to fill in, as [YOUR-PASSWORD] is: write the "
    "password there. ${NAME} is filled in from the environment, $NAME is not."
)
_REMOTE = (
    "serve_remote is true: everyone who reaches this proxy can read and delete what is stored, "
    "also of another tenant, whose name is all that is asked for. Let only those reach it who may."
)
