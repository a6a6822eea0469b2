"""Whatever stands as the URL, it is accepted or refused, and no secret shows."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from response_store.backends.postgres.resolver import build_checked_connection_string
from response_store.config.host_policy import classify_host
from response_store.config.ip_ranges import HostPolicy, classify_address, parse_literal
from response_store.config.postgres_target import build_postgres_target
from response_store.config.postgres_url import ALLOWED, find_postgres_problems
from tests.hypothesis_profiles import examples

CANARY = "c4n4ry"

pieces = st.sampled_from(
    ["postgres://", "postgresql://", "//", "/", "@", ":", "?", "&", "=", "#", "%", "%00", "%40"]
    + [
        "%2F",
        "%2C",
        "%FF",
        "%0a",
        ",",
        "[",
        "]",
        "[::1]",
        "8.8.8.8",
        "127.0.0.1",
        "127.1",
        "u",
        "p",
    ]
    + ["localhost", "db.example.net", "/run", "..", " ", "\t", "\\", "\x00", "\ud800", "\u3002"]
    + ["\uff11", "sslmode=", "require", "service=x", "'", "5432", *(f"{name}=" for name in ALLOWED)]
)
urls = st.lists(pieces, max_size=14).map("".join) | st.text(max_size=60)
reaches = st.sampled_from(HostPolicy)


def judged(url: str, reach: HostPolicy, mode: str | None = None, root: str | None = None) -> str:
    """The refusal, after checking that an accepted URL leads where it may, and nowhere else."""
    text = "\n".join(map(str, find_postgres_problems(url, reach, mode, root)))
    if text:
        return text
    target = build_postgres_target(url, reach, mode, root)
    given = conninfo_to_dict(
        build_checked_connection_string(target, lambda name, port: ["8.8.8.8"]).reveal()
    )
    assert (given["hostaddr"] == "") == target.is_socket
    if not target.is_socket:
        address = parse_literal(str(given["hostaddr"]))
        assert address is not None
        assert reach.admits(classify_address(address))
    return f"{target!r} {target.warnings()}"


@given(urls, reaches)
@settings(max_examples=examples(500), deadline=None)
@example("postgres://1.2.3.4?x=@127.0.0.1/db", HostPolicy.PRIVATE)
def test_arbitrary_text_is_judged(url: str, reach: HostPolicy) -> None:
    """Any text gives faults or a target; nothing is raised."""
    judged(url, reach)


@given(st.lists(pieces, max_size=12).map("".join), reaches)
@settings(max_examples=examples(500), deadline=None)
def test_anything_after_the_scheme_is_judged(rest: str, reach: HostPolicy) -> None:
    """The same for what begins as it should."""
    judged(f"postgres://{rest}", reach)


@given(st.text(max_size=40), st.sampled_from([None, "disable", "verify-full"]), reaches)
@settings(max_examples=examples(100), deadline=None)
def test_any_path_is_judged(path: str, mode: str | None, reach: HostPolicy) -> None:
    """Any text as the path of a certificate is judged as well."""
    judged("postgres://8.8.8.8/db", reach, mode, path)


@given(
    st.lists(pieces, max_size=6).map("".join), st.lists(pieces, max_size=6).map("".join), reaches
)
@settings(max_examples=examples(500), deadline=None)
def test_a_password_never_shows(before: str, after: str, reach: HostPolicy) -> None:
    """However broken the URL, a refusal does not quote it; what is accepted does not show it."""
    for password in (CANARY, f"{CANARY}@x", f"x/{CANARY}", f"x?{CANARY}", f"x#{CANARY}"):
        text = judged(f"postgres://u{before}:{password}@{after}", reach)
        assert CANARY not in text


@given(st.text(max_size=60))
@settings(max_examples=examples(300), deadline=None)
def test_any_host_is_judged(text: str) -> None:
    """Any text as a host has a form."""
    assert classify_host(text).form
