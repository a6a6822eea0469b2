"""The variables of a command: the proxy, its authorities, and no secret of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from response_store.run.environment import build_child_environment

PROXY = "http://127.0.0.1:4711"


def made(before: dict[str, str], **how: Any) -> dict[str, str]:
    given: dict[str, Any] = {"proxy": PROXY, "bundle": Path("/t/b.pem"), "base": None}
    return build_child_environment(before, **{**given, "local": False, **how})


def test_the_proxy_and_its_authorities() -> None:
    """Every client finds the proxy and the bundle, whichever variables it reads."""
    child = made({"HOME": "/home/me", "SSL_CERT_FILE": "/mine.pem", "PIP_CERT": "/mine.pem"})
    assert child["HOME"] == "/home/me"
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "WSS_PROXY"):
        assert child[name] == PROXY
    for name in (
        *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
        *("CODEX_CA_CERTIFICATE", "GIT_SSL_CAINFO", "PIP_CERT"),
    ):
        assert child[name] == "/t/b.pem"
    assert child["NODE_USE_ENV_PROXY"] == "1"


def test_what_was_not_set_and_is_not_needed_stays_unset() -> None:
    """Variables with a wider meaning are replaced where they are set, never added."""
    assert not {"ALL_PROXY", "PIP_CERT", "OPENAI_BASE_URL"} & made({}).keys()
    assert made({"ALL_PROXY": "http://old:1"})["ALL_PROXY"] == PROXY


def test_no_database_url() -> None:
    """The password of the database stays with the proxy."""
    kept = {"PATH": "/bin", "RESPONSE_STORE_CONFIG": "proxy.yaml"}
    url = "postgres://u:canary@h/d"
    secret = {"RESPONSE_STORE_DATABASE_URL": url, "RESPONSE_STORE_TO_DATABASE_URL": url}
    child = made(kept | secret)
    assert "canary" not in repr(child)
    assert kept.items() <= child.items()


@pytest.mark.parametrize(
    ("before", "local", "after"),
    [
        ("", False, "localhost,127.0.0.1"),
        ("", True, ""),
        ("intra.example, .corp", False, "intra.example,.corp,localhost,127.0.0.1"),
        ("intra.example,::1", False, "intra.example,localhost,127.0.0.1,::1"),
        ("localhost,127.0.0.1,::1,intra.example", True, "intra.example"),
        ("localhost:80 127.0.0.0/8 [::1]:1 *.localhost 10.0.0.0/8:5 a:b", True, "10.0.0.0/8:5,a:b"),
        ("127.0.0.0/8, 10.0.0.0/8", False, "10.0.0.0/8,localhost,127.0.0.1,127.0.0.0/8"),
    ],
)
def test_what_is_not_proxied(before: str, local: bool, after: str) -> None:
    """The user's exceptions stay; this machine is one, unless it shall be captured too."""
    for name in ("NO_PROXY", "no_proxy"):
        child = made({name: before}, local=local)
        assert child["NO_PROXY"] == child["no_proxy"] == after


def test_base_url() -> None:
    """A base URL replaces the one that was there."""
    child = made({"OPENAI_BASE_URL": "http://old/v1"}, base="http://127.0.0.1:1/v1")
    assert child["OPENAI_BASE_URL"] == "http://127.0.0.1:1/v1"
