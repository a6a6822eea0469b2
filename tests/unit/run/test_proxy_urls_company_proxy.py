"""A proxy that is there already is gone on through."""

from __future__ import annotations

import pytest

from response_store.run.command import RunError
from response_store.run.proxy_urls import CompanyProxy, find_company_proxy


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTP_PROXY": "http://only-plain:1"}, None),
        ({"HTTPS_PROXY": "http://corp:8080"}, CompanyProxy("http://corp:8080", None)),
        ({"all_proxy": "corp:8080"}, CompanyProxy("http://corp:8080", None)),
        ({"https_proxy": "https://me:p%40ss@corp/"}, CompanyProxy("https://corp", "me:p@ss")),
        ({"https_proxy": "http://[fd00::1]:3128"}, CompanyProxy("http://[fd00::1]:3128", None)),
    ],
)
def test_found(environ: dict[str, str], expected: CompanyProxy | None) -> None:
    """The variables are read as clients read them."""
    assert find_company_proxy(environ) == expected


@pytest.mark.parametrize("url", ["socks5://u:canary@h:1", "http://u:canary@:x", "http://[canary"])
def test_refused(url: str) -> None:
    """Another kind of proxy is refused; the value, which may hold a password, is not shown."""
    with pytest.raises(RunError, match="HTTPS_PROXY") as caught:
        find_company_proxy({"HTTPS_PROXY": url})
    assert caught.value.status == 2
    assert "canary" not in str(caught.value)
