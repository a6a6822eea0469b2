"""A server that the tests start: what it does, and what it is like after each way to end it."""

from __future__ import annotations

import socket
from select import select

import psycopg
import pytest
from psycopg import errors

from tests.harness.postgres import Postgres, PostgresDatabase, children_of
from tests.harness.postgres_fixtures import MakePostgres

PASSWORD = "p@ss:/?#[]%&='\\ é"
SSL_REQUEST = bytes.fromhex("0000000804d2162f")


def ask(url: str, statement: str = "SELECT current_user") -> object:
    """The first value of the first row."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute(statement).fetchone()
        return row[0] if row else None


def test_the_owner_makes_tables_and_is_no_superuser(plain_database: PostgresDatabase) -> None:
    """The user of a plain URL may do in its database what it wants, and nothing elsewhere."""
    with psycopg.connect(plain_database.url()) as connection:
        connection.execute("CREATE TABLE t (a int)")
        connection.execute("INSERT INTO t VALUES (1)")
    assert plain_database.execute("SELECT a FROM t") == [{"a": 1}]
    assert ask(plain_database.url(), "SHOW is_superuser") == "off"


def test_the_superuser_is_refused_on_the_network(plain_postgres: Postgres) -> None:
    """It has no password; the socket is its only way in."""
    with pytest.raises(psycopg.OperationalError, match=r"rejects connection"):
        psycopg.connect(plain_postgres.url(user="postgres"))


def test_a_role_with_a_password_must_give_it(plain_database: PostgresDatabase) -> None:
    """Any character in it survives the URL."""
    server = plain_database.server
    role = server.create_role("with_password", password=PASSWORD)
    assert ask(plain_database.url(user=role, password=PASSWORD)) == role
    for wrong in (None, "wrong"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(plain_database.url(user=role, password=wrong))


def test_a_role_may_create_nothing(plain_database: PostgresDatabase) -> None:
    """It comes in without a password, and has the rights that it is given."""
    role = plain_database.server.create_role("without_rights")
    with pytest.raises(errors.InsufficientPrivilege):
        ask(plain_database.url(user=role), "CREATE TABLE t (a int)")


def test_a_database_is_a_copy_of_another(plain_database: PostgresDatabase) -> None:
    """Tables and rows come along, and the two go their own ways."""
    plain_database.execute("CREATE TABLE t AS SELECT 1 AS a")
    copy = plain_database.server.create_database(template=plain_database.name)
    copy.execute("INSERT INTO t VALUES (2)")
    assert copy.execute("SELECT count(*) AS n FROM t") == [{"n": 2}]
    assert plain_database.execute("SELECT count(*) AS n FROM t") == [{"n": 1}]
    copy.drop()


def test_a_socket_is_a_host_too(plain_database: PostgresDatabase) -> None:
    """The folder of the socket stands in the URL, encoded."""
    url = plain_database.url(host=str(plain_database.server.socket_folder))
    assert ask(url, "SELECT inet_server_addr()") is None


def test_settings_change_while_it_runs(make_postgres: MakePostgres) -> None:
    """What needs a new start is an error, not a setting without effect."""
    server = make_postgres()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        server.set(default_transaction_read_only="on")
        with pytest.raises(errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TABLE t (a int)")
        server.set(default_transaction_read_only=None)
        with pytest.raises(AssertionError, match="max_connections"):
            server.set(max_connections="9")
    server.restart()
    assert ask(server.url(), "SHOW max_connections") == "9"


@pytest.mark.parametrize("end", ["stop", "immediate", "kill9"])
def test_what_was_committed_is_there_after_every_end(make_postgres: MakePostgres, end: str) -> None:
    """The port is the same, clients are cut off, and no process is left behind."""
    server = make_postgres()
    database, port = server.create_database(), server.port
    with psycopg.connect(database.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
        assert server.process is not None
        pid = server.process.pid
        assert children_of(pid)
        {"stop": server.stop, "kill9": server.kill9}.get(end, lambda: server.stop(end))()
        assert not server.running
        assert not children_of(pid)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(database.url())
    server.start()
    assert server.port == port
    assert database.execute("SELECT a FROM t") == [{"a": 1}]


def test_a_frozen_server_answers_nobody_until_it_is_thawed(make_postgres: MakePostgres) -> None:
    """Its connections are still open then."""
    server = make_postgres()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        server.freeze()
        connection.pgconn.send_query(b"SELECT 1")
        with socket.create_connection(("127.0.0.1", server.port), 5) as late:
            late.sendall(SSL_REQUEST)
            assert select([connection, late], [], [], 0.1)[0] == []
        server.thaw()
        assert connection.pgconn.get_result() is not None
        assert connection.pgconn.get_result() is None
    server.freeze()


def test_every_place_is_taken(make_postgres: MakePostgres) -> None:
    """A server of few connections refuses one more, and still obeys the harness."""
    server = make_postgres(settings={"max_connections": "5", "superuser_reserved_connections": "3"})
    with psycopg.connect(server.url()), psycopg.connect(server.url()):
        with pytest.raises(psycopg.OperationalError, match="connection"):
            psycopg.connect(server.url())
        assert server.execute("SELECT 1 AS one") == [{"one": 1}]
