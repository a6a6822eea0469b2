"""Whatever the file holds, it loads or is refused, and no secret ever shows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from response_store.config import Config, ConfigError, load_config
from response_store.config.schema import load_schema
from tests.hypothesis_profiles import examples

CANARY = "c4n4ry"

yaml_pieces = st.sampled_from(
    ["capture", "hosts", "database_url", "tenant", "pool", ": ", ":", "- ", "\n", "  ", "\t", "'"]
    + ['"', "[", "]", "{", "}", ",", "&a", "*a", "!!int", "|\n", "? ", "#", "\\", "~", "1", "0x"]
    + ["1e999", ".nan", "<<", "=", "2024-01-01", "\x00", "\ud800", "é", "@", "%", "---\n", "..."]
)
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "store.yaml"


def attempt(path: Path, content: bytes, environ: dict[str, str] | None = None) -> Config | str:
    path.write_bytes(content)
    try:
        return load_config(path, environ or {})
    except ConfigError as error:
        return str(error)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(max_examples=examples(200), deadline=None)
def test_arbitrary_bytes_never_raise_anything_else(path: Path, content: bytes) -> None:
    """Any bytes as the file give a configuration or a ConfigError."""
    attempt(path, content)


@given(st.lists(yaml_pieces, max_size=30).map("".join))
@settings(max_examples=examples(200), deadline=None)
@example("database_url: !!int 0b")
@example("pool: {max_connections: 0_}")
def test_pieces_of_yaml_never_raise_anything_else(path: Path, text: str) -> None:
    """Texts near YAML give a configuration or a ConfigError."""
    attempt(path, text.encode("utf-8", "surrogatepass"))


@given(st.dictionaries(st.sampled_from(sorted(load_schema()["properties"])), values, max_size=4))
@settings(max_examples=examples(200), deadline=None)
def test_what_loads_obeys_the_schema(path: Path, content: dict[str, object]) -> None:
    """Our rules are never laxer than the published schema, and any value is judged."""
    text = yaml.safe_dump(content)
    if isinstance(attempt(path, text.encode()), Config):
        assert Draft202012Validator(load_schema()).is_valid(yaml.safe_load(text))


# A key on a line of its own is a key, whatever stands before it; other line breaks are refused.
one_line = st.text(st.characters(exclude_characters="\r\n"), max_size=15)


@given(
    before=one_line,
    after=one_line | st.lists(yaml_pieces, max_size=6).map("".join),
    scheme=st.sampled_from(["sqlite://", "sqlite:", "postgres://u:", "mysql://", ""]),
    quote=st.sampled_from(["", "'", '"', "|\n  ", "[", "{", "{x: ", "&"]),
)
@settings(max_examples=examples(200), deadline=None)
@example(before="\x85", after=":", scheme="sqlite://", quote="")
@example(before="\u2028", after=": x", scheme="sqlite://", quote="")
def test_the_url_never_shows(path: Path, before: str, after: str, scheme: str, quote: str) -> None:
    """No error shows a piece of database_url, however broken the file is."""
    url = f"{scheme}{before}{CANARY}{after}"
    text = f"backend: nonsense\ndatabase_url: {quote}{url}\n"
    assert CANARY not in str(attempt(path, text.encode("utf-8", "surrogatepass")))


@given(st.text(max_size=15), st.text(max_size=15))
@settings(deadline=None)
def test_the_url_of_the_environment_never_shows(path: Path, before: str, after: str) -> None:
    """Nor does the URL in the environment."""
    environ = {"RESPONSE_STORE_DATABASE_URL": f"sqlite:{before}{CANARY}{after}"}
    refused = attempt(path, b"backend: nonsense", environ)
    assert CANARY not in str(refused)


@pytest.mark.parametrize(
    "text",
    [
        f"databse_url: postgres://u:{CANARY}@h/db",
        f"database_url: {{{CANARY}: 1, {CANARY}: 2}}",
        f"database_url: [{CANARY}, {{{CANARY}: !x 1}}]",
        f"databse_url: {{{CANARY}: 1, {CANARY}: 2}}",
        f"{{postgres://u:{CANARY}@h/db}}",
        f"postgres://u:{CANARY}@h/db",
        f"database_url: *{CANARY}",
        f"database_url: &{CANARY} x\nbackend: &{CANARY} y",
        f"database_url: !{CANARY} x",
        f"database_url: sqlite://x?{CANARY}=1&mode={CANARY}",
        f"database_url: 'sqlite://{CANARY}",
        f"backend: postgres://u:{CANARY}@h/db",
        f"responses_table: postgres://u:{CANARY}@h/db",
        f"tenant: {{header: '{CANARY}:x'}}",
        f"capture: {{hosts: ['u:{CANARY}@h']}}",
    ],
)
def test_a_slipped_url_never_shows(path: Path, text: str) -> None:
    """A URL in the wrong place, or broken YAML around it, does not show either."""
    refused = attempt(path, text.encode())
    assert isinstance(refused, str)
    assert CANARY not in refused
