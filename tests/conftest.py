"""What tests share: a model server, real proxies in front of it, and PostgreSQL servers.

A proxy takes a second to start, so most tests use one that lives as long as the session and keep
to a tenant of their own, which their requests name in the header `x-tenant`.
"""

from __future__ import annotations

import atexit
import gc
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.harness")

from tests.fakes.certificates import Certificates, make_certificates
from tests.fakes.model_server import ModelServer
from tests.harness.ignored_signals import heed_signals
from tests.harness.postgres_fixtures import *  # noqa: F403
from tests.harness.proxy import Proxy, make_authority
from tests.harness.worker_imports import import_apart
from tests.hypothesis_profiles import load_profile

load_profile()

# Where proxies and commands that tests start have their journals, and a database that nobody named:
# one folder a test process.
STATE = tempfile.mkdtemp(prefix="response-store-state-")
atexit.register(shutil.rmtree, STATE, ignore_errors=True)
os.environ["XDG_STATE_HOME"] = STATE
os.environ["XDG_DATA_HOME"] = f"{STATE}/data"
os.environ["XDG_CACHE_HOME"] = f"{STATE}/cache"
os.environ.pop("STATE_DIRECTORY", None)

BY_TENANT = {"tenant": {"header": "x-tenant"}}

heed_signals()

# Whatever looks for garbage looks through a million objects of modules and tests that stay: a sixth
# of the time of quick tests.
gc.set_threshold(20_000, 20, 100)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Share the work of a first import among the workers."""
    import_apart(session.config)


def pytest_collection_finish() -> None:
    """Have no later look for garbage go through what was imported and collected."""
    gc.freeze()


MakeProxy = Callable[..., Proxy]


@pytest.fixture(scope="session")
def model_server() -> Iterator[ModelServer]:
    """A model server that speaks plain HTTP/1.1."""
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate for loopback."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def tls_server(certificates: Certificates) -> Iterator[ModelServer]:
    """A model server that speaks TLS, and HTTP/2 to those who ask for it."""
    with ModelServer(certificates, http2=True) as server:
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority for mitmproxy, made once."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def proxy(
    model_server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """The shared reverse proxy before the model server."""
    with Proxy(
        tmp_path_factory.mktemp("proxy"),
        authority=authority,
        mode=f"reverse:{model_server.url}",
        config=BY_TENANT,
        executed=True,
    ) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def tls_proxy(
    tls_server: ModelServer,
    certificates: Certificates,
    authority: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    """The shared reverse proxy before the server that speaks TLS; its clients may do so or not."""
    with Proxy(
        tmp_path_factory.mktemp("tls"),
        authority=authority,
        mode=f"reverse:{tls_server.url}",
        config=BY_TENANT,
        options={"ssl_verify_upstream_trusted_ca": str(certificates.authority)},
    ) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def regular_proxy(
    certificates: Certificates, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """The shared regular proxy; it trusts the model servers that speak TLS."""
    with Proxy(
        tmp_path_factory.mktemp("regular"),
        authority=authority,
        config=BY_TENANT,
        options={"ssl_verify_upstream_trusted_ca": str(certificates.authority)},
    ) as proxy:
        yield proxy


@pytest.fixture
def make_proxy(model_server: ModelServer, authority: Path, tmp_path: Path) -> Iterator[MakeProxy]:
    """Makes proxies of the test's own before the model server; they end with the test.

    They are not started yet. The name of a folder makes two of them share it, one after the other.
    """
    made: list[Proxy] = []

    def make(folder: str = "proxy", *, config: Any = BY_TENANT, **how: Any) -> Proxy:
        how.setdefault("mode", f"reverse:{model_server.url}")
        made.append(Proxy(tmp_path / folder, authority=authority, config=config, **how))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


_folders = itertools.count(1)


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test's own; pytest's fixture looks through those of all tests each time."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    folder = tmp_path_factory.getbasetemp() / f"{name}-{next(_folders)}"
    folder.mkdir(mode=0o700)
    return folder


_tenants = itertools.count(1)


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    """A tenant that no other test of this session has."""
    return f"tenant-{next(_tenants)}"
