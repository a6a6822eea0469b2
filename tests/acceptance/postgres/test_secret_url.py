"""The password of the database is in nothing that the proxy says or writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.acceptance.postgres.looking import ask, rows_of, wait_for_store
from tests.harness.journals import journal_files
from tests.harness.ports import free_port

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.harness.postgres import Postgres, PostgresDatabase
    from tests.harness.proxy import Proxy


CANARY = "canary-password"
DEBUG = {"options": {"termlog_verbosity": "debug"}}
HANG_UP = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = %s AND pid <> pg_backend_pid()"""


def written(proxy: Proxy) -> dict[str, str]:
    """All that is in the proxy's folder, by file, but the configuration that it was given."""
    found = {
        path.name: path.read_bytes().decode("latin-1")
        for path in proxy.folder.iterdir()
        if path.is_file() and path.name != "config.yaml"
    }
    return found | journal_files(proxy)


def test_password(on_postgres: OnPostgres, plain_postgres: Postgres, tenant: str) -> None:
    """Whether the password is right, wrong, or no longer right, it is nowhere to be read."""
    role = plain_postgres.create_role(f"secret_{tenant.replace('-', '_')}", password=CANARY)
    database = plain_postgres.create_database(owner=role)
    url = database.url(user=role, password=CANARY)
    environment = {"RESPONSE_STORE_DATABASE_URL": url}
    try:
        with on_postgres("postgres://nowhere", how=DEBUG | {"environment": environment}) as proxy:
            ask(proxy, tenant, 1)
            rows_of(database).ended(tenant)
            environ = Path(f"/proc/{proxy.ingester()}/environ")
            assert not environ.exists() or CANARY.encode() not in environ.read_bytes()
            proxy.command("options.save", "options.yaml")
            database.execute(f"ALTER ROLE {role} PASSWORD 'another'")
            database.execute(HANG_UP, database.name)
            ask(proxy, tenant, 1)
            wait_for_store(proxy, "failed")
            told = proxy.command("response_store.status")
            seen = written(proxy)
            tables = rows_of(database).dump()
            proxy.terminate()
        assert "refuses user or password" in told
        assert any(name.endswith(".seg") for name in seen)
        assert any(name.endswith("journal.json") for name in seen)
        assert "response_store_config" in seen["options.yaml"]
        texts = {"status": told, "tables": tables} | seen | written(proxy)
        assert [place for place, text in texts.items() if CANARY in text] == []
    finally:
        database.drop()


def test_password_that_is_wrong_at_the_start(
    on_postgres: OnPostgres, plain_postgres: Postgres, tenant: str
) -> None:
    """A password that the server refuses ends mitmdump with status 1 and a reason without it."""
    role = plain_postgres.create_role(f"wrong_{tenant.replace('-', '_')}", password="right")
    url = plain_postgres.url(user=role, password=CANARY)
    proxy = on_postgres(url, how=DEBUG | {"control": False})
    finished = proxy.run()
    assert finished.returncode == 1
    assert "refuses user or password" in finished.output
    assert "Traceback" not in finished.output
    assert [place for place, text in written(proxy).items() if CANARY in text] == []


def test_password_in_mitmweb(
    on_postgres: OnPostgres, plain_database: PostgresDatabase, tenant: str
) -> None:
    """The pages of mitmweb show the options, the commands and the log, and no password."""
    port, key = free_port(), "key-of-the-pages"
    web = {"web_open_browser": "false", "web_port": str(port), "web_password": key}
    url = plain_database.url(password=CANARY)
    with (
        on_postgres(url, how={"program": "mitmweb", "options": web}) as proxy,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", params={"token": key}) as client,
    ):
        ask(proxy, tenant, 1)
        pages = {page: client.get(page) for page in ("options", "commands", "events", "state", "")}
    assert {page: answer.status_code for page, answer in pages.items()} == dict.fromkeys(pages, 200)
    assert "response_store_config" in pages["options"].text
    assert [page for page, answer in pages.items() if CANARY in answer.text] == []
