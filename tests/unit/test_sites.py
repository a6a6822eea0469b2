"""Which pages may use the proxy: by the name in Host, and by what browsers say of themselves."""

from __future__ import annotations

import pytest

from response_store.sites import RefusalReason, Sites
from tests.harness.each import each

HERE = "127.0.0.1"
TOKEN = "t0ken-of-sixteen"
PAGE = "http://evil.example"
SITES = Sites(["box.lan", "Model-Server."])


def fields(**headers: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]


@each(
    ("host", "admitted"),
    [
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("localhost.", True),
        ("127.0.0.1:8080", True),
        ("127.9.8.7", True),
        ("[::1]:8080", True),
        ("[::1]", True),
        ("box.lan:8080", True),
        ("model-server", True),
        ("192.168.1.5", False),
        ("evil.example", False),
        ("evil.example:80", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1.nip.io:8080", False),
        ("evil.example:127.0.0.1", False),
        ("localhost@evil.example", False),
        ("evil.example#localhost", False),
        ("0.0.0.0", False),
        ("2130706433", False),
        ("0x7f.1", False),
        ("[::ffff:1.2.3.4]", False),
        ("box.lan.evil", False),
        ("", False),
        (" localhost", False),
        ("\uff4cocalhost", False),
    ],
)
def test_names_of_the_proxy(host: str, admitted: bool) -> None:
    """Loopback, localhost and what was named admit; whatever only looks like them does not."""
    assert SITES.admits(host, HERE) is admitted


def test_the_address_that_was_connected_to_is_a_name() -> None:
    """Who has typed an address is no page of a name that was made to resolve to it."""
    assert SITES.admits("192.168.1.5:8080", "192.168.1.5")
    assert not SITES.admits("192.168.1.6:8080", "192.168.1.5")


READS = [
    ({}, None, None),
    ({}, "localhost:8080", None),
    ({}, "evil.example", RefusalReason.HOST),
    ({"Origin": PAGE}, "localhost", RefusalReason.SITE),
    ({"ORIGIN": "https://evil.example:8080"}, "127.0.0.1", RefusalReason.SITE),
    ({"origin": "null"}, "localhost", RefusalReason.SITE),
    ({"origin": "file://"}, "localhost", RefusalReason.SITE),
    ({"origin": "localhost"}, "localhost", RefusalReason.SITE),
    ({"origin": "http://localhost@evil.example"}, "localhost", RefusalReason.SITE),
    ({"origin": "http://localhost:3000"}, "127.0.0.1:8080", None),
    ({"origin": "http://[::1]:3000"}, "localhost", None),
    ({"origin": "https://box.lan"}, "box.lan", None),
    ({"sec_fetch_site": "cross-site"}, "localhost", RefusalReason.SITE),
    ({"sec_fetch_site": "Cross-Site"}, "localhost", RefusalReason.SITE),
    ({"sec_fetch_site": "none"}, "localhost", None),
    ({"sec_fetch_site": "same-origin"}, "localhost", None),
    ({"sec_fetch_site": "cross-site", "origin": "http://localhost"}, "127.0.0.1", None),
]


@each(("headers", "host", "refused"), READS)
def test_reading_what_is_stored(
    headers: dict[str, str], host: str | None, refused: RefusalReason | None
) -> None:
    """A page of another site gets nothing, a program or a page of this machine does."""
    assert SITES.refuse_read(fields(**headers), host, HERE) is refused


def test_several_origins_are_none() -> None:
    """Two of them, one harmless, in either order, are another site's."""
    for pair in ((PAGE, "http://localhost"), ("http://localhost", PAGE)):
        both = [(b"origin", origin.encode()) for origin in pair]
        assert SITES.refuse_read(both, "localhost", HERE) is RefusalReason.SITE


SIMPLE = ("text/plain", "Text/Plain;charset=UTF-8", "application/x-www-form-urlencoded", "",
          "multipart/form-data; boundary=x")  # fmt: skip


@pytest.mark.parametrize("kind", SIMPLE)
@pytest.mark.parametrize(
    "page", [{"origin": PAGE}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}]
)
def test_a_page_creates_nothing_unasked(kind: str, page: dict[str, str]) -> None:
    """What a browser sends to another site without asking it first is refused."""
    headers = page | ({"content_type": kind} if kind else {})
    assert SITES.refuse_create(fields(**headers), None, HERE) is RefusalReason.SITE


@pytest.mark.parametrize("kind", [*SIMPLE, "application/json"])
def test_a_program_creates_with_any_type(kind: str) -> None:
    """Whatever is no browser, or a page of this machine, goes on."""
    for headers in ({}, {"origin": "http://localhost:5173"}, {"referer": PAGE}):
        assert SITES.refuse_create(fields(content_type=kind, **headers), None, HERE) is None


def test_a_type_that_is_asked_about_is_left_to_the_server() -> None:
    """Its answer to the browser's question has decided; but no page is the proxy's own site."""
    asked = fields(content_type="application/json", origin=PAGE, sec_fetch_site="cross-site")
    assert SITES.refuse_create(asked, None, HERE) is None
    rebound = fields(content_type="application/json", origin=PAGE, sec_fetch_site="same-origin")
    assert SITES.refuse_create(rebound, None, HERE) is RefusalReason.SITE
    assert SITES.refuse_create(rebound, None, "10.0.0.1") is None
    assert SITES.refuse_create(rebound, "evil.example:8080", "10.0.0.1") is RefusalReason.HOST


def test_a_page_opens_no_socket() -> None:
    """A WebSocket of another site's page is refused, whatever its type."""
    assert SITES.refuse_socket(fields(origin=PAGE), HERE) is RefusalReason.SITE
    assert SITES.refuse_socket(fields(origin="http://localhost:3000"), HERE) is None
    assert SITES.refuse_socket([], HERE) is None


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"authorization": f"Bearer {TOKEN}"}, None),
        ({"Authorization": f"bearer  {TOKEN} "}, None),
        ({"x_response_store_token": TOKEN}, None),
        ({"authorization": "Bearer sk-1", "X-Response-Store-Token": TOKEN}, None),
        ({}, RefusalReason.TOKEN),
        ({"authorization": TOKEN}, RefusalReason.TOKEN),
        ({"authorization": f"Bearer {TOKEN}x"}, RefusalReason.TOKEN),
        ({"authorization": f"Bearer {TOKEN[:-1]}"}, RefusalReason.TOKEN),
        ({"x_response_store_token": ""}, RefusalReason.TOKEN),
        ({"x_response_store_token": TOKEN, "origin": PAGE}, RefusalReason.SITE),
    ],
)
def test_the_token(headers: dict[str, str], refused: RefusalReason | None) -> None:
    """Where one is set it has to be sent, whole, as a key or in a header of ours."""
    assert Sites(token=TOKEN).refuse_read(fields(**headers), "localhost", HERE) is refused
