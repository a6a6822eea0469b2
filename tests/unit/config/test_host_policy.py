"""What a host text is."""

from __future__ import annotations

import pytest

from response_store.config.host_policy import Host, HostForm, classify_host
from response_store.config.ip_ranges import AddressKind
from tests.harness.each import each
from tests.unit.config import addresses


@each(
    ("text", "form"),
    [
        ("8.8.8.8", HostForm.ADDRESS),
        ("2606:4700::1", HostForm.ADDRESS),
        ("DB.example.net.", HostForm.NAME),
        ("my_db", HostForm.NAME),
        ("b\u00fccher.example", HostForm.NAME),
        ("1.2.3.0xg", HostForm.NAME),
        ("LocalHost.", HostForm.LOCAL_NAME),
        ("a.localhost", HostForm.LOCAL_NAME),
        ("ip6-loopback", HostForm.LOCAL_NAME),
        ("local\u00adhost", HostForm.LOCAL_NAME),
        ("\uff4cocalhost", HostForm.LOCAL_NAME),
        ("Metadata.Google.Internal.", HostForm.METADATA_NAME),
        ("/run/postgresql", HostForm.SOCKET),
        ("/run/../x", HostForm.CLIMBING_SOCKET),
        ("/run/%252e%252e/x", HostForm.CLIMBING_SOCKET),
        ("/run,/x", HostForm.INVALID),
        ("/run\n", HostForm.INVALID),
        ("/run\ud800", HostForm.INVALID),
        ("@socket", HostForm.ABSTRACT_SOCKET),
        ("", HostForm.EMPTY),
        ("1.2.3.4,", HostForm.LIST),
        ("fe80::1%eth0", HostForm.ZONED),
        ("08.8.8.8", HostForm.INVALID),
        ("1.2.3.256", HostForm.INVALID),
        ("1.2.3.4.5", HostForm.INVALID),
        ("256.1", HostForm.INVALID),
        ("1.16777216", HostForm.INVALID),
        ("4294967296", HostForm.INVALID),
        ("0x", HostForm.INVALID),
        ("0x100000000", HostForm.INVALID),
        ("1..2.3", HostForm.INVALID),
        ("\u0661\u0662\u0667.0.0.1", HostForm.INVALID),
        ("a@b", HostForm.INVALID),
        ("1.2.3.4\\", HostForm.INVALID),
        ("a b", HostForm.INVALID),
        ("a\x00b", HostForm.INVALID),
        ("a/b", HostForm.INVALID),
        ("\u2100.example", HostForm.INVALID),
        ("-a", HostForm.INVALID),
        ("a" * 64, HostForm.INVALID),
        ("\u00e9" * 64, HostForm.INVALID),
        ("a." * 127 + "a", HostForm.INVALID),
        ("\ud800", HostForm.INVALID),
    ],
)
def test_a_host_has_a_form(text: str, form: HostForm) -> None:
    """Each way to write a host is told from the others."""
    assert classify_host(text).form is form


@pytest.mark.parametrize("address", [*addresses.METADATA, "127.0.0.1", "8.8.8.8", "0.0.0.0"])
def test_an_old_spelling_is_the_address_that_the_resolver_reads(address: str) -> None:
    """It is never taken for a name, and gives the address that the check is about."""
    for spelling in addresses.old_spellings(address):
        host = classify_host(spelling)
        assert (host.form, host.text) == (HostForm.OLD_SPELLING, address), ascii(spelling)


def test_a_name_is_folded_to_what_is_resolved() -> None:
    """What is judged is what is connected to: lower-case ASCII without the root's dot."""
    assert classify_host("B\u00dcCHER.Example.").text == "xn--bcher-kva.example"


def test_a_host_shows_no_text() -> None:
    """A slipped password may be the host."""
    assert "s3cret" not in repr(classify_host("s3cret"))
    assert classify_host("10.0.0.1") == Host(HostForm.ADDRESS, "10.0.0.1", AddressKind.PRIVATE)
