"""With `redact`, no secret reaches PostgreSQL, nor the journal on the way to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance.postgres.looking import rows_of, wait_for_store
from tests.acceptance.redacting import CANARY, CLEAN, CONFIG, send_all
from tests.acceptance.test_redaction import files
from tests.harness.ingesters import kill_both
from tests.harness.journals import journal_files
from tests.harness.ports import free_port

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.fakes.model_server import ModelServer
    from tests.harness.postgres import PostgresDatabase


def test_no_byte_of_a_secret(
    on_postgres: OnPostgres,
    plain_database: PostgresDatabase,
    model_server: ModelServer,
    tenant: str,
) -> None:
    """Neither in the tables nor in the files beside the proxy, those of its journal among them."""
    kept, journal = rows_of(plain_database), {}
    with on_postgres(plain_database.url(), **CONFIG) as proxy:
        sent = []
        for each in send_all(proxy, model_server, tenant):
            sent.append(each)
            journal |= journal_files(proxy)  # what is written is gone a moment later
        rows = [kept.ended(each.tenant) for each in sent]
        texts = {"tables": kept.dump()} | files(proxy) | journal
    assert [place for place, text in texts.items() if CANARY in text] == []
    assert any(text for name, text in journal.items() if name.endswith(".seg"))
    assert rows[0]["output_text"] == CLEAN


def test_no_byte_of_a_secret_waits(
    on_postgres: OnPostgres, model_server: ModelServer, tenant: str
) -> None:
    """While the database is away, the journal holds what is redacted already."""
    url = f"postgres://recorder@127.0.0.1:{free_port()}/nowhere"
    with on_postgres(url, **CONFIG) as proxy:
        sent = list(send_all(proxy, model_server, tenant))
        wait_for_store(proxy, "waiting")
        told = proxy.command("response_store.status")
        journal = journal_files(proxy)
        texts = files(proxy) | journal
        kill_both(proxy)  # it would wait for the database once more
    assert [place for place, text in texts.items() if CANARY in text] == []
    assert "redacted.openai: " in told
    kept = sum(len(text) for name, text in journal.items() if name.endswith(".seg"))
    assert kept > 1000 * len(sent)
