"""Who may read the pages."""

from __future__ import annotations

import pytest

from response_store.web.access import Access, AccessVerdict, NotLoopbackError, require_loopback

PORT = 8123
HOST = {"Host": f"127.0.0.1:{PORT}"}


@pytest.fixture
def access() -> Access:
    """The keys of a server."""
    return Access("127.0.0.1", PORT)


def token_of(url: str) -> str:
    return url.partition("token=")[2]


def test_the_address_makes_a_visitor_welcome_again_and_again(access: Access) -> None:
    """Whoever has the printed address gets in, with another browser as well."""
    token = token_of(access.url)
    for _ in range(2):
        assert access.check_request(access.path, HOST, "", token) is AccessVerdict.WELCOME


def test_the_address_for_a_browser_is_good_once(access: Access) -> None:
    """What stood in the list of processes opens nothing a second time."""
    token = token_of(access.issue_single_use_url())
    assert access.check_request(access.path, HOST, "", token) is AccessVerdict.WELCOME
    assert access.check_request(access.path, HOST, "", token) is AccessVerdict.NO_KEY


def test_the_cookie_opens_the_pages(access: Access) -> None:
    """With the cookie every page is there, at the server's path alone."""
    page = f"{access.path}exchanges"
    assert access.check_request(page, HOST, access.cookie, "") is AccessVerdict.ALLOWED
    assert access.check_request("/exchanges", HOST, access.cookie, "") is AccessVerdict.NO_KEY
    assert access.check_request(page, HOST, access.cookie[:-1], "") is AccessVerdict.NO_KEY
    assert access.check_request(page, HOST, "", "wrong") is AccessVerdict.NO_KEY


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": f"evil.example:{PORT}"},
        {"Host": "127.0.0.1"},
        {},
        {**HOST, "Origin": "http://evil.example"},
        {**HOST, "Origin": "null"},
        {**HOST, "Origin": "http://127.0.0.1:1"},
        {**HOST, "Sec-Fetch-Site": "cross-site"},
        {**HOST, "Sec-Fetch-Site": "same-site"},
    ],
    ids=["name", "no port", "no host", "origin", "null", "port", "cross-site", "same-site"],
)
def test_another_page_reads_nothing(access: Access, headers: dict[str, str]) -> None:
    """A foreign name, origin or site is refused, whatever cookie comes along."""
    assert access.check_request(access.path, headers, access.cookie, "") is AccessVerdict.FOREIGN


def test_a_token_is_no_key_under_a_foreign_name(access: Access) -> None:
    """The name is looked at before the token."""
    headers = {"Host": "evil.example"}
    token = token_of(access.url)
    assert access.check_request(access.path, headers, "", token) is AccessVerdict.FOREIGN


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_loopback(host: str) -> None:
    """Addresses of this machine alone are listened to."""
    assert require_loopback(host) in {"127.0.0.1", "127.1.2.3", "::1"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", "", "127.0.0.1 "])
def test_not_loopback(host: str) -> None:
    """Any other address is refused, with what to do instead."""
    with pytest.raises(NotLoopbackError, match="ssh -L"):
        require_loopback(host)
