"""The values that a configuration becomes."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from response_store.config import Secret
from tests.unit.config.conftest import Load


@pytest.mark.parametrize(
    ("patterns", "host", "admitted"),
    [
        (["*"], "anything.at.all", True),
        (["api.openai.com"], "API.OpenAI.com", True),
        (["API.openai.com"], "api.openai.com.", True),
        (["api.openai.com"], "api.openai.com.evil.org", False),
        (["api.openai.com"], "xapi.openai.com", False),
        (["api.openai.com"], "apixopenai.com", False),
        (["*.openai.azure.com"], "me.openai.azure.com", True),
        (["*.openai.azure.com"], "openai.azure.com", False),
        (["a.org", "b.org"], "b.org", True),
        (["a.org", "b.org"], "c.org", False),
        (["node?.lan"], "node1.lan", True),
        (["node?.lan"], "node12.lan", False),
        (["127.0.0.1", "::1"], "::1", True),
    ],
)
def test_hosts_are_admitted_by_pattern(
    patterns: list[str], host: str, admitted: bool, load: Load
) -> None:
    """A pattern covers the whole host, whatever its letter case."""
    assert load({"capture": {"hosts": patterns}}).capture.admits(host) is admitted


def test_the_header_of_the_tenant_is_lower_case(load: Load) -> None:
    """Header names are compared in lower case."""
    assert load("tenant: {header: X-Tenant-ID}").tenant.header == "x-tenant-id"


def test_a_configuration_can_not_be_changed(load: Load) -> None:
    """What is in force stays so."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        load("").completion_wait_ms = 5  # type: ignore[misc]


def test_a_secret_never_shows() -> None:
    """Nothing that prints or saves a secret gives its text away, but reveal does."""
    secret = Secret("s3cr3t")
    shown = f"{secret} {secret!s} {secret!r} {secret!a} {secret:>20} {[secret]} %s" % secret
    assert "s3cr3t" not in shown
    assert "s3cr3t" not in repr(copy.deepcopy({"url": secret}))
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == "s3cr3t"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="can't be pickled"):
            pickle.dumps(secret, protocol)


def test_secrets_compare_by_their_text() -> None:
    """Two configurations with the same URL are equal."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("\ud800")}) == 2


def test_a_configuration_shows_no_url(load: Load) -> None:
    """The URL is in no text of the whole configuration."""
    config = load("database_url: sqlite://user:s3cr3t@x.db")
    assert "s3cr3t" not in f"{config} {config!r}"
    assert "s3cr3t" not in str(dataclasses.asdict(config)["database_url"])
    assert config.database_url.reveal() == "sqlite://user:s3cr3t@x.db"
