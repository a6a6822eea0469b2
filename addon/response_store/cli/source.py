"""Find which database a command looks at, report its errors, and complete the names in it.

The database is found as the addon finds it: `--config`, else RESPONSE_STORE_CONFIG, and
RESPONSE_STORE_DATABASE_URL wins over the file; neither given, `responses.db` in the working
directory where that is there, else that in the user's data folder, to which `run` writes then.
`--database` names another SQLite file and leaves the rest as configured.

A prompt must not wait, and must not be written to. So the look at the database is read-only, is
given up after half a second, and whatever goes wrong means that nothing is offered. psycopg takes
longer to import than a look at a file, and is imported only where PostgreSQL is configured.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

import click
from click.shell_completion import CompletionItem
from msgspec import structs

from response_store.backends.registry import DatabaseTarget, open_query
from response_store.config import Backend, Config, SqliteTarget, TableNames, load_config
from response_store.config.database_url import (
    IN_WORKING_DIRECTORY,
    build_sqlite_url,
    find_default_database,
)
from response_store.config.secret import is_url, mask_credentials, mask_urls
from response_store.errors import ConfigError, ResponseStoreError
from response_store.format.text import escape_controls, format_host, format_time, put_on_one_line
from response_store.queries.exchanges import Query

if TYPE_CHECKING:
    from response_store.model.selection import Selection
    from response_store.pricing.prices import Prices
    from response_store.queries.reader import Reader

SECONDS = 0.5
NEWEST = 500  # exchanges that are looked at
MAX_OFFERED = 100  # names that are offered

# Captured names are put onto a command line: none may mean anything to a shell.
_HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]*")
_ROWS = """
SELECT coalesce(response_id, exchange_id), coalesce(model, requested_model), host, state,
    started_at, scheme, port, coalesce(session_id, exchange_id), label, agent
FROM {exchanges} WHERE tenant_id = ? ORDER BY started_at DESC LIMIT ?"""


class _Recent(NamedTuple):
    """What is offered of one of the newest exchanges."""

    id: str
    model: str | None
    host: str
    state: str
    started_at: float
    scheme: str
    port: int | None
    session: str
    label: str | None
    agent: str | None


Offers: TypeAlias = Iterable[tuple[str, str | None]]
"""Names, each with what a shell may say of it."""


def complete_identifiers(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the ids that `show` takes, the newest first; older ones if none of those begins so."""
    return _offer(context, incomplete, lambda source: _list_identifiers(source, incomplete))


def complete_models(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the models of the newest exchanges."""
    return _offer(context, incomplete, lambda source: _list_column(source, "model"))


def complete_hosts(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the hosts of the newest exchanges."""
    return _offer(context, incomplete, _list_hosts)


def complete_sessions(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the newest sessions; older ones if none of those begins so."""
    return _offer(context, incomplete, lambda source: _list_sessions(source, incomplete))


def complete_labels(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the labels of the newest exchanges."""
    return _offer(context, incomplete, lambda source: _list_column(source, "label"))


def complete_agents(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the agents of the newest exchanges."""
    return _offer(context, incomplete, lambda source: _list_column(source, "agent"))


def complete_tenants(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return every tenant of the database."""
    return _offer(context, incomplete, _list_tenants)


def complete_files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the mark that has the shell complete files itself."""
    return [CompletionItem(incomplete, type="file")]


def complete_programs(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the program that is to be run, then files."""
    words = context.params.get(str(parameter.name))
    if words or not incomplete or os.sep in incomplete:
        return complete_files(context, parameter, incomplete)
    programs = sorted(set(_list_programs(incomplete)))[:MAX_OFFERED]
    return [CompletionItem(name) for name in programs] or complete_files(
        context, parameter, incomplete
    )


def _list_programs(beginning: str) -> Iterator[str]:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        with suppress(OSError), os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.name.startswith(beginning) and os.access(entry.path, os.X_OK):
                    yield entry.name


def _list_identifiers(source: Source, incomplete: str) -> Offers:
    offers = [
        (row.id, f"{row.state} {row.model or ''} {format_time(row.started_at)}")
        for row in _read_rows(source)
        if row.id.startswith(incomplete)
    ]
    if offers or not incomplete:
        return offers
    with source.open() as query, query.snapshot() as lookup:
        older_names = lookup.ids_with_prefix(source.tenant, incomplete, MAX_OFFERED)
    return [(name, None) for name in sorted(older_names)]


def _list_column(source: Source, name: str) -> Offers:
    values = (getattr(row, name) for row in _read_rows(source))
    return [(str(value), None) for value in values if value]


def _list_hosts(source: Source) -> Offers:
    return [(format_host(row.scheme, row.host, row.port), None) for row in _read_rows(source)]


def _list_sessions(source: Source, incomplete: str) -> Offers:
    from response_store.queries.session_turns import list_beginning  # noqa: PLC0415 (only here)

    newest: dict[str, str | None] = {}
    for row in _read_rows(source):
        if str(row.session).startswith(incomplete):
            newest.setdefault(str(row.session), f"{row.model or ''} {format_time(row.started_at)}")
    if newest or not incomplete:
        return newest.items()
    with source.open() as query:
        older_keys = list_beginning(query.reader, source.tenant, incomplete, MAX_OFFERED)
    return [(key.id, None) for key in older_keys]


def _list_tenants(source: Source) -> Offers:
    from response_store.pruning.batch import list_tenants as all_tenants  # noqa: PLC0415

    with source.open() as query:
        return [(name, None) for name in all_tenants(query.reader)]


def _read_rows(source: Source) -> list[_Recent]:
    with source.open() as query:
        return [_Recent(*row) for row in query.reader.rows(_ROWS, (source.tenant, NEWEST))]


def _offer(
    context: click.Context, incomplete: str, look: Callable[[Source], Offers]
) -> list[CompletionItem]:
    """Return what `look` finds in time, each name once."""
    import logging  # noqa: PLC0415 (only where it is asked)

    logging.disable(logging.WARNING)  # a prompt is no place for it
    offers = dict(_run_in_time(lambda: look(_find_source(context))))
    fitting = {
        name: description
        for name, description in offers.items()
        if name.startswith(incomplete) and _HARMLESS.fullmatch(name)
    }
    return [
        CompletionItem(name, help=_escape(description))
        for name, description in list(fitting.items())[:MAX_OFFERED]
    ]


def _escape(text: str | None) -> str | None:
    return put_on_one_line(text) if text else None


def _find_source(context: click.Context) -> Source:
    """Return the database that the command line names so far, or the configuration."""
    parameters = context.params
    config, database = (_expand_path(parameters.get(name)) for name in ("config", "database"))
    return find_source(config, database, parameters.get("tenant"))


def _expand_path(path: Path | None) -> Path | None:
    """Return a path as the shell would read it: what is typed has its `~` still."""
    return path.expanduser() if path else None


def _run_in_time(look: Callable[[], Offers]) -> Offers:
    """Return what `look` finds within the time there is; nothing if it fails."""
    offers: list[tuple[str, str | None]] = []

    def looked() -> None:
        # Of an error in the middle of a command line nobody can be told.
        with suppress(Exception):
            offers.extend(look())

    thread = threading.Thread(target=looked, name="response-store-completion", daemon=True)
    thread.start()
    thread.join(SECONDS)
    return [] if thread.is_alive() else offers


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


STORE_FAILED = 1
NOT_CONFIGURED = 2

config_option = click.option(
    "--config", type=FilePath(), metavar="FILE",
    help="The proxy's YAML file, which names database, tables and tenant.",
)  # fmt: skip
database_option = click.option(
    "--database", type=FilePath(), metavar="FILE",
    help="A SQLite file instead of the configured database.",
)  # fmt: skip
tenant_option = click.option(
    "--tenant", metavar="NAME", shell_complete=complete_tenants,
    help="Exchanges of this tenant; else of the tenant of the configuration.",
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
    `default_url` is the URL of the target where it is the file in the user's data folder.
    """

    target: DatabaseTarget
    tables: TableNames
    tenant: str
    shown_as: str
    settings: Config
    default_url: str | None = None

    def prepare_folder(self) -> None:
        """Make the user's data folder, readable by its owner alone, if the database is in it."""
        if self.default_url is not None and self.target.path is not None:
            self.target.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open(self) -> Query:
        """Open the database for reading. Raises StoreError."""
        return open_query(self.target, self.tables, shown_as=self.shown_as)

    def resolve(self, reader: Reader, selection: Selection) -> Selection:
        """Return a selection of this tenant's exchanges, its sessions and runs looked up.

        Raises StoreError where an id means none or several.
        """
        from response_store.queries.session_turns import resolve_selection  # noqa: PLC0415

        resolved = resolve_selection(reader, self.tenant, selection)
        return structs.replace(resolved, tenant=self.tenant)

    def resolve_for_all(
        self, reader: Reader, selection: Selection, tenant: str | None
    ) -> Selection:
        """Return the same for every tenant's exchanges, unless one was named.

        A session or a run is one tenant's: that of the configuration.
        """
        resolved = self.resolve(reader, selection)
        if tenant is not None or selection.sessions or selection.recorder_ids:
            return resolved
        return structs.replace(resolved, tenant=None)

    def load_prices(self) -> Prices:
        """Return what tokens cost: as the configuration says, and as genai-prices does."""
        from response_store.pricing.prices import load_prices  # noqa: PLC0415 (for few commands)

        return load_prices(self.settings.prices, self.settings.source)

    def config(self) -> Config:
        """Return the configuration of a proxy that writes to this database."""
        if self.target is self.settings.database:
            return self.settings
        assert self.target.path is not None
        url = build_sqlite_url(self.target.path)
        settings = {**self.settings.settings, "backend": Backend.SQLITE.value, "database_url": url}
        config = Config.from_settings(settings, self.settings.source, self.settings.directory)
        return replace(config, database=self.target)


def find_source(config: Path | None, database: Path | None, tenant: str | None = None) -> Source:
    """Return what the options and the configuration name. Raises ConfigError."""
    default_url = _choose_default_url()
    settings = load_config(config or find_config(), default_url=default_url)
    tenant_id = settings.tenant.id if tenant is None else tenant
    target = settings.database
    if database is not None:
        target = SqliteTarget(database)
        return Source(target, settings.tables, tenant_id, str(database.absolute()), settings)
    shown_as = _describe(target)
    if settings.database_url.reveal() != default_url:
        default_url = None
    return Source(target, settings.tables, tenant_id, shown_as, settings, default_url)


def _choose_default_url() -> str | None:
    """Return the URL of the file in the data folder, unless one is in the working directory."""
    if os.path.lexists(IN_WORKING_DIRECTORY):  # also a link that leads nowhere
        return None
    try:
        return build_sqlite_url(find_default_database(os.environ))
    except RuntimeError:  # a user without a home
        return None


def _describe(target: DatabaseTarget) -> str:
    """Return where a database is, a file by its whole path, as it may be shown."""
    return mask_credentials(str(target.path.absolute())) if target.path else target.describe()


def find_config() -> Path | None:
    """Return the file that RESPONSE_STORE_CONFIG names, if any."""
    named = os.environ.get("RESPONSE_STORE_CONFIG")
    return Path(named) if named else None
