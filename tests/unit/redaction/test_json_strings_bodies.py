"""Bodies without their secrets: JSON stays JSON, and all else stays to the letter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.redaction.json_strings import may_contain_secret, redact_body
from response_store.redaction.known import KNOWN
from response_store.redaction.patterns import Patterns, find_secrets, mask_matches
from tests.unit.redaction.keys import KEYS, PEM

KEY = KEYS["anthropic"]
MARK = "[redacted:anthropic]"
ALL = Patterns(KEYS, {})


class Seeking:
    """Knows the secrets of some patterns."""

    def __init__(self, patterns: Patterns) -> None:
        self.patterns = patterns
        self.may_contain_secret = patterns.may_contain_secret

    def replace(self, text: bytes, lead: bytes = b"") -> bytes:
        return mask_matches(text, find_secrets(text, self.patterns.all, lead))


def cleaned(body: bytes, patterns: Patterns = ALL) -> bytes:
    matcher = Seeking(patterns)
    made = redact_body(body, matcher)
    assert made == body or may_contain_secret(body, matcher), "the quick look misses it"
    return made


def test_all_else_stays_to_the_letter() -> None:
    """Numbers, blanks, escapes and order are kept, also around a secret."""
    body = b'{"a" : 1.50e0,\n "b":"\\u00e9\\/", "k":"x %s", "n":1e400, "\\ud83d": null}'
    assert cleaned(body % KEY.encode()) == body % MARK.encode()


@pytest.mark.parametrize(
    "spelled",
    [
        KEY.replace("-", "\\u002d"),
        KEY.replace("A", "\\u0041"),
        "\\n" + KEY,
        "\\ud83d " + KEY,
        '\\"' + KEY + '\\"',
    ],
)
def test_escapes_hide_nothing(spelled: str) -> None:
    """A string is looked at as what it means."""
    made = cleaned(b'{"a":[1,{"b":"%s"}]}' % spelled.encode())
    assert MARK in json.loads(made)["a"][1]["b"]
    assert KEY not in json.loads(made)["a"][1]["b"]


@pytest.mark.parametrize("depth", range(5))
def test_json_quoted_in_json(depth: int) -> None:
    """Arguments of tools are JSON in a string, sometimes again and again."""
    inner: Any = {"pem": PEM, "key": KEY}
    text = json.dumps(inner).replace("sk-ant", "sk\\u002dant")
    for _ in range(depth):
        text = json.dumps({"arguments": text})
    made = cleaned(text.encode())
    found = json.loads(made)
    for _ in range(depth):
        found = json.loads(found["arguments"])
    assert found == {"pem": "[redacted:private-key]", "key": MARK}


def test_names_of_members() -> None:
    """A secret may be a name as well."""
    assert cleaned(b'{"%s":1}' % KEY.encode()) == b'{"%s":1}' % MARK.encode()


def test_a_wide_pattern_leaves_json_valid() -> None:
    """What takes all it can get takes no quote."""
    greedy = Patterns((), {"all": r"password[\s\S]*"})
    made = cleaned(b'{"a":"password: x","b":"y"}', greedy)
    assert json.loads(made) == {"a": "[redacted:all]", "b": "y"}
    across = Patterns((), {"across": "c.+d"})
    indented = b'{\n "a": ["c", "d"]\n}'
    assert cleaned(indented, across) == indented
    stream = b'event: x\ndata: {"a":"password x","b":"y"}\n\ndata: {"b":"z"}\n\n'
    assert cleaned(stream, greedy) == stream.replace(b"password x", b"[redacted:all]")


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "<html>{}</html>",
        'data: {{"a":"{}"}}\n\n',
        "data: {}\r\n\r\n",
        ': "odd\ndata: {{"a":"{}"}}\n\n',
        '{{"a":"{}"',
        '{{"a":"{}',
        '{{"a":"x\\',
        '\ufeff{{"a":"{}"}}',
        '[{{"a":"{}"}}]\n{{"b":"{}"}}',
        '"{}"',
        '{{"a":"\\ud800","b":"{}"}}',
    ],
)
def test_bodies_of_every_kind(body: str) -> None:
    """Plain text, streams, bodies that are cut off, lines of JSON."""
    made = cleaned(body.format(KEY, KEY).encode())
    assert made == body.format(MARK, MARK).encode()


def test_a_cut_escape() -> None:
    """A string that ends within an escape is looked at up to there."""
    body = '{"a":"' + KEY.replace("-", "\\u002d") + " \\u00"
    assert cleaned(body.encode()) == ('{"a":"' + MARK + " \\u00").encode()


def test_bytes_that_are_no_text() -> None:
    """Broken UTF-8 around a secret stays as it is."""
    assert cleaned(b"\xff" + b" %s \x80" % KEY.encode()) == b"\xff %s \x80" % MARK.encode()


@pytest.mark.parametrize("escape", ["\\u002d", "-"])
def test_a_string_that_is_no_text(escape: str) -> None:
    """Escapes are decoded also beside broken UTF-8; without a secret the bytes stay."""
    spelled = KEY.replace("-", escape).encode()
    made = cleaned(b'{"a":"\xff \\n %s"}' % spelled)
    assert made == f'{{"a":"\ufffd \\n {MARK}"}}'.encode()
    assert cleaned(b'{"a":"\xff \\n"}') == b'{"a":"\xff \\n"}'


SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize("value", [SECRET, SECRET.replace("/", "\\/")])
@pytest.mark.parametrize("colon", [":", ": ", " :\n  "])
def test_a_secret_that_its_name_gives_away(value: str, colon: str) -> None:
    """The value of a member is looked at behind its name; other members are not."""
    patterns = Patterns(KNOWN, {"pin": r'"pin"\s*:\s*"(?P<secret>[0-9]{4})"', "wide": r"\S{60,}"})
    named = f'{{"aws_secret_access_key"{colon}"{value}","pin"{colon}"1234",'
    others = f'"nip"{colon}"1234"}}'
    made = cleaned((named + others).encode(), patterns).decode()
    named = named.replace(value, "[redacted:aws-secret]").replace("1234", "[redacted:pin]")
    assert made == named + others


def test_a_secret_behind_a_name_and_an_escape() -> None:
    """Nothing else in the body looks like a secret."""
    value = SECRET.replace("/", "\\/")
    made = cleaned(f'{{"aws_secret_access_key":"{value}"}}'.encode(), Patterns(KNOWN, {}))
    assert made == b'{"aws_secret_access_key":"[redacted:aws-secret]"}'


def test_a_string_has_ends() -> None:
    """Those of a line are those of a string as well."""
    line = Patterns((), {"line": "^secret$"})
    assert (
        cleaned(b'{"a":"secret","b":"a secret"}', line) == b'{"a":"[redacted:line]","b":"a secret"}'
    )


@pytest.mark.exhaustive
def test_a_long_body() -> None:
    """It is looked at in pieces, which cut nothing in two; what holds no secret stays."""
    items = [{"aws_secret_access_key": SECRET if n % 7_000 == 1 else str(n)} for n in range(20_000)]
    body = json.dumps(items).encode()
    patterns = Patterns(KNOWN, {})
    expected = body.replace(SECRET.encode(), b"[redacted:aws-secret]")
    assert cleaned(body, patterns) == expected
    for size in range(65_440, 65_540, 3):  # wherever the pieces end
        padded = json.dumps(["x" * size, *items[:3]]).encode()
        assert SECRET.encode() not in cleaned(padded, patterns)


_json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text()
    | st.sampled_from(["x " + KEY, PEM, json.dumps({"k": KEY})]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(_json, st.booleans())
def test_any_document(value: Any, ascii_only: bool) -> None:
    """What comes out is JSON of the same shape without the secret; without one, the same bytes."""
    body = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    made = cleaned(body)
    assert KEY.encode() not in made
    assert "MIIE" not in made.decode(errors="replace")
    if ascii_only:
        assert shape(json.loads(made)) == shape(value)
    if KEY not in str(value) and "-----BEGIN" not in str(value):
        assert made == body


def shape(value: Any) -> Any:
    match value:
        case dict():
            return {name: shape(member) for name, member in value.items()}
        case list():
            return [shape(member) for member in value]
        case _:
            return type(value)
