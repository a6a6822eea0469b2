"""Which database a reading command looks at, and how its errors are told.

The database is found as the addon finds it: `--config`, else RESPONSE_STORE_CONFIG, and
RESPONSE_STORE_DATABASE_URL wins over the file; neither given, `responses.db` in the working
directory. `--database` names another SQLite file and leaves the rest as configured. psycopg is
imported only where the database is a PostgreSQL one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from response_store.cli import completion_values
from response_store.config import load_config
from response_store.config.model import SqliteTarget
from response_store.errors import ConfigError, ResponseStoreError, StoreError
from response_store.store.query import Query
from response_store.telling.printable import printable

if TYPE_CHECKING:
    from response_store.config.model import JournalConfig
    from response_store.config.postgres_target import PostgresTarget
    from response_store.config.tables import TableNames

STORE_FAILED = 1
NOT_CONFIGURED = 2

config_option = click.option(
    "--config", type=click.Path(readable=False, path_type=Path), metavar="FILE",
    help="The proxy's YAML file; its database, table names and tenant count here too.",
)  # fmt: skip
database_option = click.option(
    "--database", type=click.Path(readable=False, path_type=Path), metavar="FILE",
    help="The SQLite file to read, whatever the configuration says.",
)  # fmt: skip
tenant_option = click.option(
    "--tenant", metavar="NAME", shell_complete=completion_values.tenants,
    help="Whose exchanges; else the tenant of the configuration.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")


class Told(click.ClickException):
    """An error of the store: text and an exit status, no traceback."""

    exit_code = STORE_FAILED

    def __init__(self, error: ResponseStoreError) -> None:
        super().__init__(printable(str(error)))


class Misconfigured(Told):
    """An error of the configuration, in the very words that the proxy has for it."""

    exit_code = NOT_CONFIGURED

    def show(self, file: IO[str] | None = None) -> None:
        """Print the problems to standard error."""
        click.echo(self.message, file=file, err=True)


def note(text: str) -> None:
    """Say something on standard error, beside what is asked for."""
    click.echo(printable(text), err=True)


@contextmanager
def errors_told() -> Iterator[None]:
    """Show our own errors as text; let everything else pass."""
    try:
        yield
    except ConfigError as error:
        raise Misconfigured(error) from None
    except ResponseStoreError as error:
        raise Told(error) from None


@dataclass(frozen=True)
class Source:
    """Which database is asked, and whose rows are asked for. Nothing is open yet.

    With PostgreSQL there is a `journal`, which may hold what the database does not have yet.
    """

    target: SqliteTarget | PostgresTarget
    tables: TableNames
    tenant: str
    shown_as: str
    journal: JournalConfig | None = None

    def open(self) -> Query:
        """Open the database for reading. Raises StoreError."""
        if not isinstance(self.target, SqliteTarget):
            from response_store.store.postgres.reading import (  # noqa: PLC0415 (slow to load)
                PostgresReading,
            )

            return Query(PostgresReading(self.target, self.tables))
        if self.target.path is None:
            raise StoreError(
                "An in-memory database can be read by its proxy alone. Name a file in"
                " database_url to look at what was captured, or give --database."
            )
        return Query.open(self.target.path, self.tables, shown_as=self.shown_as)


def source(config: Path | None, database: Path | None, tenant: str | None = None) -> Source:
    """What the options and the configuration name. Raises ConfigError."""
    settings = load_config(config or _configured())
    whose = settings.tenant.id if tenant is None else tenant
    if database is not None:
        target = SqliteTarget(database)
        return Source(target, settings.tables, whose, str(database.absolute()))
    if isinstance(settings.database, SqliteTarget):
        return Source(settings.database, settings.tables, whose, _whole(settings.database))
    shown_as = settings.database.describe()
    return Source(settings.database, settings.tables, whose, shown_as, settings.journal)


def _whole(target: SqliteTarget) -> str:
    """The whole path of a file, as it may be shown."""
    path = target.path.absolute() if target.path else None
    return replace(target, path=path).describe()


def _configured() -> Path | None:
    named = os.environ.get("RESPONSE_STORE_CONFIG")
    return Path(named) if named else None
