"""A refusal says what to add to the YAML, and what that means."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Load, Refusal

DNS = "allow_dns_database_url: true"
PRIVATE = "allow_private_database_url: true"


def config(host: str, **keys: object) -> dict[str, object]:
    return {"backend": "postgres", "database_url": f"postgres://u:c4n4ry@{host}/db", **keys}


@pytest.mark.parametrize(
    ("host", "lines"),
    [
        ("db.example.net", [DNS, PRIVATE]),
        ("localhost", [PRIVATE]),
        ("10.0.0.1", [PRIVATE]),
        ("127.1", [PRIVATE]),
        ("%2Frun%2Fpostgresql", [PRIVATE]),
    ],
)
def test_a_refusal_names_the_lines_that_allow_it(
    host: str, lines: list[str], load: Load, refusal: Refusal
) -> None:
    """Each line stands alone, ready to be copied, and says what it admits; added, it works."""
    text = refusal(config(host))
    assert [line.strip() for line in text.splitlines() if line.strip() in (DNS, PRIVATE)] == lines
    assert "It admits every name" in text
    for line in lines:
        load(config(host, **{line.partition(":")[0]: True}))


def test_a_private_address_keeps_the_name_opt_in_from_being_named(refusal: Refusal) -> None:
    """The line for names would not help, so it isn't offered."""
    assert DNS not in refusal(config("10.0.0.1"))
    assert PRIVATE in refusal(config("localhost", allow_dns_database_url=True))


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "224.0.0.1", "0"])
def test_what_nothing_allows_offers_no_line(host: str, refusal: Refusal) -> None:
    """No line is offered where none would help."""
    text = refusal(config(host))
    assert "no setting allows this one" in text
    assert PRIVATE not in text


def test_all_faults_come_at_once(refusal: Refusal) -> None:
    """Hosts, parameters and TLS are judged together."""
    url = "postgres://u:c4n4ry@10.0.0.1:0/db?service=x&hostaddr=127.1&sslmode=allow"
    text = refusal({"backend": "postgres", "database_url": url, "ssl_root_cert": ""})
    for words in ("private address", "port", "service", "hostaddr", "sslmode", "is empty"):
        assert words in text
    assert "c4n4ry" not in text


@pytest.mark.parametrize("host", ["10.0.0.1", "db", "/", "a,b", "@x", "[::1%251]", "1.2.3.4:0"])
def test_every_problem_has_a_mend(host: str, refusal: Refusal) -> None:
    """Each problem is a line, and the lines of its fix end as sentences do."""
    _, *lines = refusal(config(host)).splitlines()
    problems = [at for at, line in enumerate(lines) if not line.startswith(" ")]
    assert problems[0] == 0
    for at in [*problems[1:], len(lines)]:
        assert lines[at - 1].startswith("    ")
        assert lines[at - 1].endswith(".")


def test_a_problem_is_said_once(refusal: Refusal) -> None:
    """The same fault in two places of the URL is one problem."""
    said = refusal({"database_url": "postgres://10.0.0.1/db?host=10.0.0.2"})
    assert "1 problem." in said
