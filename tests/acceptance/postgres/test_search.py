"""What passed a proxy that writes to PostgreSQL is found by its words, seconds later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from tests.acceptance.postgres.looking import rows_of
from tests.acceptance.searching import FOUND, ids, search, stream, wait_indexed
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.fakes.model_server import ModelServer
    from tests.harness.postgres import PostgresDatabase


ENTRIES = "SELECT exchange_id FROM openai_exchanges_search"


def test_two_proxies_and_a_kill(
    on_postgres: OnPostgres,
    plain_database: PostgresDatabase,
    model_server: ModelServer,
    tenant: str,
) -> None:
    """Streams are found at once, each once; so is what a killed proxy left unindexed.

    One of the two indexes what it writes, a search what is lacking.
    """
    kept = rows_of(plain_database)
    url = plain_database.url()
    with on_postgres(url, "one") as one, on_postgres(url, "two") as two:
        made = {stream(proxy, model_server, tenant) for _ in range(2) for proxy in (one, two)}
        kept.all_ended(tenant, 4)
        wait_until(lambda: len(kept.rows(ENTRIES)) >= 2, "what one has written is indexed")
        for words in FOUND:
            assert set(ids(search(one, tenant, words))) == made, words
        wait_indexed(kept, 4)
        last = stream(two, model_server, tenant, "A last word: 再见")
        two.flush()
        two.kill9()
        wait_until(lambda: len(kept.all_ended(tenant, 5)) == 5, "drained")
        assert ids(search(one, tenant, "见")) == [last]
        wait_indexed(kept, 5)
    assert len(kept.rows("SELECT part FROM openai_exchanges_search_words")) == 5


def test_a_role_that_may_only_read(
    on_postgres: OnPostgres,
    plain_database: PostgresDatabase,
    model_server: ModelServer,
    tenant: str,
) -> None:
    """What is indexed is found, and a note says how many exchanges are not, and why."""
    kept = rows_of(plain_database)
    role = plain_database.server.create_role(f"reads_{plain_database.name}")
    with on_postgres(plain_database.url()) as proxy:
        first = stream(proxy, model_server, tenant)
        wait_indexed(kept, 1)
        second = stream(proxy, model_server, tenant)
        wait_indexed(kept, 2)
        proxy.terminate()
        plain_database.execute(
            "DELETE FROM openai_exchanges_search WHERE exchange_id = "
            "(SELECT exchange_id FROM openai_exchanges WHERE response_id = %s)",
            second,
        )
        plain_database.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        settings = yaml.safe_load((proxy.folder / "config.yaml").read_text())
        settings["database_url"] = plain_database.url(user=role)
        (proxy.folder / "config.yaml").write_text(yaml.safe_dump(settings))
        found = search(proxy, tenant, "canary", said="1 exchange is not indexed")
        assert (ids(found), found["not_indexed"]) == ([first], 1)
        plain_database.execute(f"DROP OWNED BY {role}")
