"""A refusal says what to add to the YAML, and what that means."""

from __future__ import annotations

import pytest

from .judging import problems_of, refusal_of

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
def test_a_refusal_names_the_lines_that_allow_it(host: str, lines: list[str]) -> None:
    """Each line stands alone, ready to be copied, and says what it admits; added, it works."""
    text = refusal_of(config(host))
    assert [line.strip() for line in text.splitlines() if line.strip() in (DNS, PRIVATE)] == lines
    assert "It admits every name" in text
    for line in lines:
        assert refusal_of(config(host, **{line.partition(":")[0]: True})) == ""


def test_a_private_address_keeps_the_name_opt_in_from_being_named() -> None:
    """The line for names would not help, so it isn't offered."""
    assert DNS not in refusal_of(config("10.0.0.1"))
    assert PRIVATE in refusal_of(config("localhost", allow_dns_database_url=True))


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "224.0.0.1", "0"])
def test_what_nothing_allows_offers_no_line(host: str) -> None:
    """No line is offered where none would help."""
    text = refusal_of(config(host))
    assert "no setting allows this one" in text
    assert PRIVATE not in text


def test_all_faults_come_at_once() -> None:
    """Hosts, parameters and TLS are judged together."""
    url = "postgres://u:c4n4ry@10.0.0.1:0/db?service=x&hostaddr=127.1&sslmode=allow"
    found = problems_of({"backend": "postgres", "database_url": url, "ssl_root_cert": ""})
    text = "\n".join(map(str, found))
    for words in ("private address", "port", "service", "hostaddr", "sslmode", "is empty"):
        assert words in text
    assert "c4n4ry" not in text


@pytest.mark.parametrize("host", ["10.0.0.1", "db", "/", "a,b", "@x", "[::1%251]", "1.2.3.4:0"])
def test_every_mend_is_a_sentence(host: str) -> None:
    """Each problem has a rule and a mend."""
    for problem in problems_of(config(host)):
        assert problem.rule
        assert problem.mend.endswith(".")


def test_a_problem_is_said_once() -> None:
    """The same fault in two places of the URL is one problem."""
    url = "postgres://10.0.0.1/db?host=10.0.0.2"
    assert len(problems_of({"backend": "postgres", "database_url": url})) == 1
