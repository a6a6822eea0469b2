"""Which database a command looks at, and how its errors are reported.

The database is found as the addon finds it: `--config`, else RESPONSE_STORE_CONFIG, and
RESPONSE_STORE_DATABASE_URL wins over the file; neither given, `responses.db` in the working
directory. `--database` names another SQLite file and leaves the rest as configured.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

import click

from response_store.cli import completion_values
from response_store.cli.file_path import FilePath
from response_store.config import Config, load_config
from response_store.config.model import Backend, SqliteTarget
from response_store.config.secret import mask_credentials, mask_urls
from response_store.errors import ConfigError, ResponseStoreError
from response_store.store.query import Query, open_query
from response_store.telling.printable import escape_controls

if TYPE_CHECKING:
    from response_store.config.tables import TableNames
    from response_store.store.backends import DatabaseTarget

STORE_FAILED = 1
NOT_CONFIGURED = 2

config_option = click.option(
    "--config", type=FilePath(), metavar="FILE",
    help="The proxy's YAML file; its database, table names and tenant count here too.",
)  # fmt: skip
database_option = click.option(
    "--database", type=FilePath(), metavar="FILE",
    help="The SQLite file to read, whatever the configuration says.",
)  # fmt: skip
tenant_option = click.option(
    "--tenant", metavar="NAME", shell_complete=completion_values.complete_tenants,
    help="Whose exchanges; else the tenant of the configuration.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")


class CliError(click.ClickException):
    """An error of the store: text and an exit status, no traceback."""

    exit_code = STORE_FAILED

    def __init__(self, error: ResponseStoreError) -> None:
        super().__init__(escape_controls(mask_urls(str(error))))


class NotConfiguredError(CliError):
    """An error of the configuration, in the very words that the proxy has for it."""

    exit_code = NOT_CONFIGURED

    def show(self, file: IO[str] | None = None) -> None:
        """Print the problems to standard error."""
        click.echo(self.message, file=file, err=True)


def note(text: str) -> None:
    """Say something on standard error, beside what is asked for."""
    click.echo(escape_controls(mask_urls(text)), err=True)


@contextmanager
def handle_errors() -> Iterator[None]:
    """Show our own errors as text; let everything else pass."""
    try:
        yield
    except ConfigError as error:
        raise NotConfiguredError(error) from None
    except ResponseStoreError as error:
        raise CliError(error) from None


@dataclass(frozen=True)
class Source:
    """Which database is asked, and whose rows are asked for. Nothing is open yet.

    `settings` is the configuration as it was loaded; `target` and `tables` say where the rows are.
    """

    target: DatabaseTarget
    tables: TableNames
    tenant: str
    shown_as: str
    settings: Config

    def open(self) -> Query:
        """Open the database for reading. Raises StoreError."""
        return open_query(self.target, self.tables, shown_as=self.shown_as)

    def config(self) -> Config:
        """Return the configuration of a proxy that writes to this database."""
        if self.target is self.settings.database:
            return self.settings
        assert self.target.path is not None
        url = f"sqlite://{quote(os.fsencode(self.target.path))}"
        settings = {**self.settings.settings, "backend": Backend.SQLITE.value, "database_url": url}
        config = Config.from_settings(settings, self.settings.source, self.settings.directory)
        return replace(config, database=self.target)


def find_source(config: Path | None, database: Path | None, tenant: str | None = None) -> Source:
    """Return what the options and the configuration name. Raises ConfigError."""
    settings = load_config(config or find_config())
    tenant_id = settings.tenant.id if tenant is None else tenant
    target = settings.database
    if database is not None:
        target = SqliteTarget(database)
        return Source(target, settings.tables, tenant_id, str(database.absolute()), settings)
    shown_as = _describe(target)
    return Source(target, settings.tables, tenant_id, shown_as, settings)


def _describe(target: DatabaseTarget) -> str:
    """Return where a database is, a file by its whole path, as it may be shown."""
    return mask_credentials(str(target.path.absolute())) if target.path else target.describe()


def find_config() -> Path | None:
    """Return the file that RESPONSE_STORE_CONFIG names, if any."""
    named = os.environ.get("RESPONSE_STORE_CONFIG")
    return Path(named) if named else None
