"""The example and the page about configuration say what the schema says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from response_store.config import ConfigError, load_config
from response_store.config.schema import with_defaults

from .conftest import Load
from .test_schema import KEYS

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


def test_the_example_is_the_defaults(load: Load) -> None:
    """Every key stands in the example, with its default."""
    assert yaml.safe_load(EXAMPLE) == with_defaults({})
    assert load(EXAMPLE) == load("")


@pytest.mark.parametrize("alternative", alternatives(EXAMPLE), ids=str)
def test_each_commented_alternative_loads(alternative: Alternative, load: Load) -> None:
    """Each alternative, put in the place of its key, loads and changes something."""
    values = yaml.safe_load(EXAMPLE)
    mapping = values if alternative.parent is None else values[alternative.parent]
    assert mapping[alternative.key] != alternative.value
    mapping[alternative.key] = alternative.value
    load(values)


def test_no_alternative_is_overlooked() -> None:
    """Every key that can have another value shows one, and so the reader above finds them."""
    shown = {f"{one.parent}.{one.key}" if one.parent else one.key for one in alternatives(EXAMPLE)}
    assert shown == set(LEAVES) - {"ssl_mode", "ssl_root_cert"}


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
    for key in ("capture.max_body_bytes", "completion_wait_ms"):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{key}`"))
        for bound in ("minimum", "maximum"):
            assert f"{schema_bound(key, bound):,}" in row


def schema_bound(key: str, bound: str) -> int:
    return int(KEYS[key][bound])
