"""Reading the YAML file: what is not a plain mapping of keys is refused with its line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from response_store.config import ConfigError, load_config
from response_store.config.yaml_reader import MAX_BYTES
from tests.unit.config.conftest import Load, Refusal

LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param("capture:\n\thosts: [a]\n", 2, "a tab", id="tab"),
        pytest.param("capture:\n  hosts: [*.x.org]\n", 2, "quotes", id="unquoted star"),
        pytest.param("capture:\n  hosts: *x\n", 2, "quotes", id="unknown alias"),
        pytest.param("backend: sqlite: x\n", 1, "a colon", id="second colon"),
        pytest.param('backend: "sqlite\n', 2, "quote is not closed", id="open quote"),
        pytest.param('backend: "\\q"\n', 1, "unknown escape", id="escape"),
        pytest.param("a: 1\n---\nb: 2\n", 2, "more than one", id="two documents"),
        pytest.param("a: &x 1\nb: &x 2\n", 2, "anchor", id="anchor twice"),
        pytest.param("a: 1\nb: \x01\n", 2, "control character", id="control character"),
        pytest.param("a: [1, 2\nb: 3\n", 2, "not valid YAML", id="open bracket"),
        pytest.param("backend: sqlite\nhosts\n", 3, "colon", id="no colon"),
        pytest.param("- a\n- b\n", 1, "not a mapping", id="list"),
        pytest.param("\nresponses.db\n", 2, "not a mapping", id="text"),
        pytest.param("{backend: sqlite, 1: x}", 1, "a key is not a text", id="number as key"),
        pytest.param("a: b\n? [x]\n: y\n", 2, "a key is not a text", id="list as key"),
        pytest.param("backend: !!python/name:os.x ''\n", 1, "tag", id="python tag"),
        pytest.param("backend: !own sqlite\n", 1, "tag", id="own tag"),
        pytest.param("pool: !!set {x}\n", 1, "tag", id="set"),
        pytest.param("backend: !!int x\n", 1, "does not fit its type", id="no integer"),
        pytest.param("pool: {max_connections: " + "9" * 5000 + "}", 1, "fit", id="5000 digits"),
        pytest.param("[" * 5000, None, "nested too deeply", id="5000 brackets"),
        pytest.param("a: " + "[" * 50 + "]" * 50, 1, "too much", id="50 brackets"),
        pytest.param("pool: &p\n  x: *p\n", 1, "too much", id="contains itself"),
        pytest.param(LAUGHS, 4, "too much", id="billion laughs"),
        pytest.param("a: 1\n#" + "x" * MAX_BYTES, None, "bytes", id="too large"),
        pytest.param(b"backend: sqlite\n# \xff\n", 2, "UTF-8", id="not UTF-8"),
        pytest.param("backend: sqlite".encode("utf-16"), 1, "UTF-8", id="UTF-16"),
    ],
)
def test_bad_yaml_is_refused_with_its_line(
    text: str | bytes, line: int | None, words: str, refusal: Refusal, tmp_path: Path
) -> None:
    """What is no plain YAML mapping is refused with file, line and a fix."""
    place = str(tmp_path / "store.yaml") + ("" if line is None else f":{line}")
    said = refusal(text)
    assert any(row.startswith(f"{place}: ") and words in row for row in paragraphs(said)), said


def paragraphs(text: str) -> list[str]:
    return text.replace("\n    ", " ").splitlines()


def test_a_key_given_twice_is_refused_with_both_lines(refusal: Refusal) -> None:
    """A key that is given twice, at any depth, is refused, and both its lines are named."""
    said = refusal("durability: power\ncapture:\n  apis: [responses]\n  apis: [responses]\n")
    assert "store.yaml:4: capture.apis: the key is given twice, first in line 3" in said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# only a comment\n",
        "---\n",
        "null\n",
        "{}\n",
        "\ufeff{}\n",
        "capture:\ntenant:\n",
    ],
)
def test_an_empty_file_means_the_defaults(text: str, load: Load) -> None:
    """A file without keys, or with keys without values, is the defaults."""
    config = load(text)
    assert config.database.describe() == "responses.db"
    assert config.capture.hosts == ("*",)


def test_an_alias_may_be_used(load: Load) -> None:
    """An alias stands for what its anchor names."""
    config = load("responses_table: &name team\ntenant: {id: *name}\n")
    assert config.tenant.id == "team"


def test_a_date_is_a_text(load: Load) -> None:
    """What YAML 1.1 takes for a date is the text that was written."""
    assert load("tenant: {id: 2024-01-01}").tenant.id == "2024-01-01"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is named, and said to be missing."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: there is no such file"):
        load_config(tmp_path / "nowhere.yaml", {})


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """A folder or a pipe is refused; a pipe without a writer would block for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError, match="not a regular file"):
            load_config(path, {})


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "may not be read"),
        (OSError(errno.EIO, "Input/output error"), r"can't be read \(Input/output error\)"),
    ],
)
def test_a_file_that_can_not_be_read_is_refused(
    error: OSError, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that the system does not give is said to be that (root may read any, so: made up)."""

    def fail(*_: object) -> None:
        raise error

    path = tmp_path / "closed.yaml"
    path.write_text("")
    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(ConfigError, match=words):
        load_config(path, {})


def test_a_path_that_no_file_can_have_is_refused() -> None:
    """A path with a NUL or a line feed is a problem like any other, in one line."""
    with pytest.raises(ConfigError, match="can't name a file"):
        load_config("a\0b", {})
    with pytest.raises(ConfigError, match=r"'no\\nfile': there is no such file"):
        load_config("no\nfile", {})
