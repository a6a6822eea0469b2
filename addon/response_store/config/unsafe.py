"""What a configuration allows although it is unsafe: sentences for the log and for a check."""

from __future__ import annotations

from .config import Config
from .model import Serve, SqliteTarget


def config_warnings(config: Config) -> tuple[str, ...]:
    """What to warn of at start, a sentence or two each. Holds no secret, and asks no resolver."""
    of_database = () if isinstance(config.database, SqliteTarget) else config.database.warnings()
    of_serving = () if config.serve is Serve.OFF or not config.serve_remote else (_REMOTE,)
    return (*map(str, of_database), *of_serving)


_REMOTE = (
    "serve_remote is true: everyone who reaches this proxy can read and delete what is stored, "
    "also of another tenant, whose name is all that is asked for. Let only those reach it who may."
)
