"""What slices mean: texts, numbers, and what a database takes of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from response_store import jsontext
from response_store.jsontext import UnreadableError
from tests.harness.each import each
from tests.hypothesis_profiles import examples

INTEGERS = [
    (b"0", 0),
    (b"-0", 0),
    (b"17", 17),
    (b"-17", -17),
    (b"1741476542.75", 1741476542),
    (b"-1.9", -1),
    (b"1e3", 1000),
    (b"9007199254740993", 2**53 + 1),
    (b"9223372036854775807", 2**63 - 1),
    (b"-9223372036854775808", -(2**63)),
    (b"9223372036854775808", None),
    (b"1e19", None),
    (b"1e400", None),
    (b"7" * 4500, None),
    (b"-" + b"7" * 70, None),
    (b"NaN", None),
    (b"-Infinity", None),
    (b"", None),
    (b"null", None),
    (b"true", None),
    (b'"17"', None),
    (b"[1]", None),
    (b"{}", None),
]


@each(("text", "value"), INTEGERS)
def test_integers(text: bytes, value: int | None) -> None:
    """A number is a whole one that a BIGINT holds, or none."""
    assert jsontext.read_int(Raw(text)) == value
    assert jsontext.read_int(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1.5", 1.5),
        (b"-2", -2.0),
        (b"1e400", None),
        (b"9" * 65, None),
        (b"", None),
        (b'"1"', None),
    ],
)
def test_floats(text: bytes, value: float | None) -> None:
    """A number beyond a double, or an endless one, is none."""
    assert jsontext.read_float(Raw(text)) == value


TEXTS = [
    (b'"a"', "a"),
    (b'""', ""),
    (rb'"\u0041\n"', "A\n"),
    (rb'"\ud83d\ude00"', "😀"),
    (rb'"a\ud83db"', "a\ufffdb"),
    (rb'"a\ude00\ud83d"', "a\ufffd\ufffd"),
    (rb'"a\u0000b"', "a\ufffdb"),
    (b'"a\x01b"', "a\x01b"),
    (b"null", None),
    (b"", None),
    (b"1", None),
    (b"[]", None),
    (b'"broken', None),
]


@pytest.mark.parametrize(("text", "value"), TEXTS, ids=repr)
def test_texts(text: bytes, value: str | None) -> None:
    """A string's value has what no database takes replaced."""
    assert jsontext.read_text(Raw(text)) == value


@settings(max_examples=examples(100), deadline=None)
@given(st.text(st.characters(exclude_categories=[]), max_size=20), st.booleans())
def test_any_text(value: str, escaped: bool) -> None:
    """Any string comes back, but for NUL and lone surrogates."""
    try:
        text = json.dumps(value, ensure_ascii=escaped).encode()
    except UnicodeEncodeError:
        text = json.dumps(value).encode()
    found = jsontext.read_text(text)
    assert found is not None
    assert found == jsontext.replace_unstorable(json.loads(text))
    assert json.loads(bytes(jsontext.encode_string(value))) == jsontext.replace_unstorable(value)
    assert "\x00" not in found
    found.encode()


@pytest.mark.parametrize(
    ("body", "mended", "flaw"),
    [
        (b'{"a":1}', b'{"a":1}', None),
        (b"\xef\xbb\xbf{}", b"{}", None),
        ("é😀".encode(), "é😀".encode(), None),
        (b"a\xffb", "a\ufffdb".encode(), "invalid UTF-8 at byte 1"),
        (b"\xed\xa0\xbd", "\ufffd\ufffd\ufffd".encode(), "invalid UTF-8 at byte 0"),
        (b"\xc0\x80", "\ufffd\ufffd".encode(), "invalid UTF-8 at byte 0"),
        ("cut off é".encode()[:-1], "cut off \ufffd".encode(), None),
    ],
)
def test_mending(body: bytes, mended: bytes, flaw: str | None) -> None:
    """What is no UTF-8 is replaced and named; a mark goes, a cut-off end is no flaw."""
    assert jsontext.repair_utf8(body) == (mended, flaw)
    if flaw is None:
        assert jsontext.check_utf8(body) == mended
    else:
        with pytest.raises(UnreadableError, match=flaw):
            jsontext.check_utf8(body)


def test_inner_texts() -> None:
    """Strings and arrays can be joined as text, escapes untouched."""
    assert jsontext.strip_quotes(Raw(rb'"a\ud83d"')) == rb"a\ud83d"
    assert jsontext.strip_quotes(Raw(b"12")) == b""
    assert jsontext.strip_brackets(b" [ 1, 2 ] ") == b"1, 2"
    assert jsontext.encode_array([b"1", b"[]"]) == b"[1,[]]"


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text is a large one, and is decoded a few bytes at a time."""
    monkeypatch.setattr(jsontext, "LARGE_TEXT", 16)
    monkeypatch.setattr(jsontext, "TEXT_PIECE", 13)


@settings(max_examples=examples(200))
@given(st.text(st.sampled_from('aä漢😀\\"\n\0\ud83d\ude00é'), max_size=40), st.booleans())
def test_a_large_text_is_the_same_in_pieces(text: str, is_ascii: bool) -> None:
    """Neither escapes nor characters nor surrogate pairs are cut in two."""
    encoded = json.dumps(text, ensure_ascii=is_ascii).encode("utf-8", "replace")
    expected = jsontext.read_text(encoded)
    assert expected is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsontext, "LARGE_TEXT", 16)
        patch.setattr(jsontext, "TEXT_PIECE", 13)
        long = jsontext.read_long_text(Raw(encoded))
    assert long is not None
    found = jsontext.as_utf8(long).decode()
    assert found.replace("\ufffd\ufffd", "\ufffd") == expected.replace("\ufffd\ufffd", "\ufffd")


@pytest.mark.exhaustive
@settings(max_examples=examples(200))
@given(st.binary(max_size=30) | st.text(max_size=20).map(str.encode))
def test_what_is_utf8_is_found_in_pieces(text: bytes) -> None:
    """The place and the kind of what is none are those that decoding all of it gives."""
    try:
        text.decode()
        expected = len(text), False
    except UnicodeDecodeError as error:
        expected = error.start, error.reason == "unexpected end of data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsontext, "TEXT_PIECE", 5)
        assert jsontext.measure_utf8(text) == expected


@pytest.mark.usefixtures("small_pieces")
def test_a_large_name_is_short_and_its_own() -> None:
    """What is far too long for a name gives its beginning and a hash of all of it."""
    one, other = (jsontext.read_text(b'"' + b"a" * 900 + end + b'"') for end in (b"b", b"c"))
    assert one is not None
    assert other is not None
    assert len(one) == len(other) < 100
    assert one != other
