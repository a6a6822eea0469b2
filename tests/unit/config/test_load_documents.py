"""The example and the page about configuration say what the schema says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from response_store.config import (
    Acknowledge,
    Backend,
    Config,
    ConfigError,
    Durability,
    TableNames,
    load_config,
)
from response_store.config.ip_ranges import HostPolicy
from response_store.config.postgres_url import ALLOWED
from response_store.config.schema import fill_defaults
from response_store.config.table_names import find_long_names
from response_store.config.tls import SslMode
from tests.harness.each import each
from tests.unit.config.conftest import Load
from tests.unit.config.test_rules import POSTGRES_ONLY
from tests.unit.config.test_schema import KEYS

ROOT = Path(__file__).parents[3]
EXAMPLE = (ROOT / "example-config.yaml").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
LEAVES = {key: rules for key, rules in KEYS.items() if "properties" not in rules}


class Alternative(NamedTuple):
    """A commented line `# key: value`, with the mapping that it stands in."""

    parent: str | None
    key: str
    value: Any


def alternatives(text: str) -> list[Alternative]:
    """Every commented alternative; its indentation says which mapping it belongs to."""
    found, parent = [], None
    for line in text.splitlines():
        if opened := re.fullmatch(r"([a-z_]+):( .*)?", line):
            parent = opened[1]
        if commented := re.fullmatch(r"( *)# ([a-z_]+: .+)", line):
            [(key, value)] = yaml.safe_load(commented[2]).items()
            found.append(Alternative(parent if commented[1] else None, key, value))
    return found


def blocks(text: str) -> list[dict[str, Any]]:
    """The configurations with PostgreSQL that stand in comments, each without its comment signs."""
    found = re.findall(r"^#\n((?:#   .+\n)+)", text, re.MULTILINE)
    return [yaml.safe_load(re.sub(r"^#   ", "", block, flags=re.MULTILINE)) for block in found]


def test_the_example_is_the_defaults(load: Load) -> None:
    """Every key stands in the example, with its default."""
    assert yaml.safe_load(EXAMPLE) == fill_defaults({})
    assert load(EXAMPLE) == load("")


@pytest.mark.exhaustive
@each("alternative", alternatives(EXAMPLE))
def test_each_commented_alternative_loads(alternative: Alternative, load: Load) -> None:
    """Each alternative, put in the place of its key, loads and changes something."""
    values = yaml.safe_load(EXAMPLE)
    if POSTGRES_ONLY.keys() & {alternative.key, alternative.parent}:
        values["database_url"] = "postgres://recorder@1.2.3.4/responses"
    before = load(values)
    mapping = values if alternative.parent is None else values[alternative.parent]
    assert mapping[alternative.key] != alternative.value
    mapping[alternative.key] = alternative.value
    after = load(values)
    assert after != before or alternative in SAYING_WHAT_HOLDS


SAYING_WHAT_HOLDS = (
    Alternative(None, "backend", "sqlite"),
    Alternative(None, "ssl_mode", "verify-full"),
)


def test_no_alternative_is_overlooked() -> None:
    """Every key shows another value, and so the reader above finds them."""
    shown = {f"{one.parent}.{one.key}" if one.parent else one.key for one in alternatives(EXAMPLE)}
    assert shown == set(LEAVES)


def in_the_example(block: dict[str, Any]) -> dict[str, Any]:
    """The example with the keys of a block in the place of its own."""
    return yaml.safe_load(EXAMPLE) | block


def test_postgresql_stands_in_the_example(load: Load) -> None:
    """Each block, in the place of the keys of the same names, loads as what it is said to be."""
    by_name, private, plain = (load(in_the_example(block)) for block in blocks(EXAMPLE))
    assert {by_name.backend, private.backend, plain.backend} == {Backend.POSTGRES}
    assert by_name.database.is_name
    assert by_name.database.host_policy is HostPolicy.PUBLIC_NAMES
    assert by_name.database.tls.mode is SslMode.VERIFY_FULL
    assert private.database.host_policy is HostPolicy.PRIVATE
    assert private.database.tls.root_cert == "/etc/response-store/ca.pem"
    assert private.acknowledge is Acknowledge.DATABASE
    assert private.journal.max_bytes == 10 * 2**30
    assert plain.database.tls.mode is SslMode.DISABLE
    assert plain.database.password is None


def test_a_block_stands_alone(load: Load) -> None:
    """Each block is a configuration by itself as well."""
    alone: list[Config] = [load(block) for block in blocks(EXAMPLE)]
    within = [load(in_the_example(block)) for block in blocks(EXAMPLE)]
    assert [config.database for config in alone] == [config.database for config in within]


def rows(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| `([a-z_.]+)` \| `(.*?)` \| .+ \|$", text, re.MULTILINE))


def test_the_page_names_every_key_with_its_default() -> None:
    """The table of keys is the schema's, in the same order."""
    documented = {key: yaml.safe_load(default) for key, default in rows(PAGE).items()}
    assert documented == {key: rules["default"] for key, rules in LEAVES.items()}
    assert list(documented) == list(LEAVES)


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_each_example_of_the_page_loads(block: str, load: Load) -> None:
    """Each piece of YAML on the page is a configuration."""
    load(block)


def test_the_page_shows_a_real_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal on the page is what the program says."""
    monkeypatch.chdir(tmp_path)
    Path("response-store.yaml").write_text(
        "capture:\n  store_fasle: skip\ndatabase_url: sqlite://a/../b.db\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config("response-store.yaml", {})
    assert f"```text\n{caught.value}\n```" in PAGE


def test_every_limit_of_the_page_is_the_schema_s() -> None:
    """Numbers in the page's table are the bounds in the schema."""
    for key in ("capture.max_body_bytes", "completion_wait_ms", "journal.max_bytes"):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{key}`"))
        for bound in ("minimum", "maximum"):
            assert f"{schema_bound(key, bound):,}" in row


def schema_bound(key: str, bound: str) -> int:
    return int(KEYS[key][bound])


def section(name: str) -> str:
    return PAGE.partition(f"### {name}\n")[2].partition("\n#")[0]


def test_the_page_names_every_parameter_of_a_url() -> None:
    """The list of what may stand in a PostgreSQL URL is that of the rules."""
    _, _, listed = section("The URL").partition("each once:")
    named = re.findall(r"`([a-z_]+)`", re.sub(r"\(.*?\)", "", listed.partition(". ")[0]))
    assert sorted(named) == sorted(ALLOWED)


def test_the_page_names_every_tls_mode() -> None:
    """The table of modes is that of the program, and says which of them verify."""
    told = dict(re.findall(r"^\| `([a-z-]+)`.*\| ([^|]+) \|$", section("TLS"), re.MULTILINE))
    assert {SslMode(mode): text != "no" for mode, text in told.items()} == {
        mode: mode.verifies for mode in SslMode
    }


def test_the_page_explains_every_durability() -> None:
    """The table says what each survives, the default first and marked as such."""
    part = PAGE.partition("## Durability\n")[2].partition("\n## ")[0]
    rows_of_table = re.findall(r"^\| `(p[a-z]+)`( \(the default\))? \|", part, re.MULTILINE)
    default = KEYS["durability"]["default"]
    assert rows_of_table == [
        (value, " (the default)" if value == default else "") for value in Durability
    ]


def test_the_page_names_the_longest_names() -> None:
    """The limits on names of tables are those of the rules."""
    told = re.findall(r"(\d+)(?:\s+characters)? for `([a-z]+)_table`", section("Names of tables"))
    longest = {table: table[0] * int(number) for number, table in told}
    assert list(longest) == ["responses", "conversations", "exchanges"]
    assert not list(find_long_names(TableNames(**longest)))
    for table, name in longest.items():
        faults = find_long_names(TableNames(**longest | {table: name + "x"}))
        assert [key for key, _ in faults] == [f"{table}_table"]
