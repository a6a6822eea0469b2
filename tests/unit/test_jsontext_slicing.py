"""Members and elements are slices of the text, whatever the text holds."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from response_store import jsontext
from response_store.jsontext import ABSENT, UnreadableError
from tests.harness.each import each
from tests.hypothesis_profiles import examples


class Fields(msgspec.Struct):
    a: Raw = ABSENT
    b: Raw = ABSENT


def a_of(text: bytes) -> bytes:
    return bytes(jsontext.slice_members(text, Fields).a)


ODD_VALUES = [
    b"1e400",
    b"-1E-400",
    b"7" * 4500,
    b"1.50000000000000000000000001",
    b"-0",
    b"NaN",
    b"-Infinity",
    rb'"\ud83d"',
    rb'"\ude00\ud83d"',
    rb'"\ud83d\ude00"',
    rb'"a\u0000b"',
    b'"' + b"x" * 100_000 + b'"',
    b'[ 1 ,\t"\\u0041\\/"\n ]',
    '{"ключ" : "😀"}'.encode(),
    b"[" * 300 + b"]" * 300,
]


@pytest.mark.parametrize("frame", [b'{"a":%s,"b":1}', b' {\r\n"b" : [] ,\t"a" :\n%s }\n'])
@each("value", ODD_VALUES)
def test_verbatim(value: bytes, frame: bytes) -> None:
    """A member is the text between its colon and what follows, to the letter."""
    text = frame % value
    assert a_of(text) == value
    assert bytes(jsontext.slice_all_members(text)["a"]) == value
    assert [bytes(one) for one in jsontext.slice_elements(b"[ 1, " + value + b" ]")] == [
        b"1",
        value,
    ]


def test_surrogates_elsewhere() -> None:
    """A lone surrogate in one member, or in a name, loses no other member."""
    text = rb'{"x":"\ud83d","\ud83d\u0000":2,"a":1e400}'
    assert a_of(text) == b"1e400"
    assert list(jsontext.slice_all_members(text)) == ["x", "\ufffd\x00", "a"]
    assert b"1e400" in jsontext.encode_object(jsontext.slice_all_members(text))


def test_duplicate_keys() -> None:
    """Of two members of one name the last counts, whoever slices."""
    assert a_of(b'{"a":1,"a":2}') == b"2"
    assert a_of(rb'{"a":1,"x":"\ud83d","a":2}') == b"2"
    assert bytes(jsontext.slice_all_members(b'{"a":1,"b":0,"a":2}')["a"]) == b"2"


def test_absent_and_null() -> None:
    """Only a member that is there and not null is present."""
    seen = jsontext.slice_members(b'{"a":null}', Fields)
    assert not jsontext.is_present(seen.a)
    assert not jsontext.is_present(seen.b)
    assert jsontext.is_present(Raw(b"true"))
    assert jsontext.is_present(Raw(b'""'))


NO_OBJECTS = [
    b"",
    b" \n",
    b"[]",
    b'"a"',
    b"1",
    b"{",
    b"{]",
    b"{}{}",
    b"{} x",
    b'{"a"',
    b'{"a":',
    b'{"a":1',
    b'{"a":1,',
    b'{"a":1,}',
    b'{,"a":1}',
    b'{"a":1,,"b":2}',
    b'{"a" 1}',
    b"{'a':1}",
    b"{a:1}",
    b'{"a":01}',
    b'{"a":"\\x"}',
    b'{"a":"x\x01"}',
    b'{"a":"x}',
    b'{"a":[1,]}',
    b'{"a":"\xff\\ud83d"}',
    b'{"a":' * 400_000,
    b'{"a":' + b"[" * 400_000 + b"]" * 400_000 + b"}",
    b'{"a":' * 400_000 + b"1" + b"}" * 400_000,
]


@each("text", NO_OBJECTS)
def test_no_object(text: bytes) -> None:
    """What is no JSON object is refused with a reason that quotes nothing of it."""
    for slices in (
        lambda: jsontext.slice_members(text, Fields),
        lambda: jsontext.slice_all_members(text),
    ):
        with pytest.raises(UnreadableError) as caught:
            slices()
        assert str(caught.value)
        assert len(str(caught.value)) < 80


@pytest.mark.parametrize("text", [b"", b"{}", b"1", b"[", b"[1", b"[1,", b"[1,]", b"[,1]", b"[1]]"])
def test_no_array(text: bytes) -> None:
    """What is no JSON array is refused."""
    with pytest.raises(UnreadableError):
        jsontext.slice_elements(text)


documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
blanks = st.text(" \t\r\n", max_size=3)


def written(value: Any, draw: Any) -> str:
    """The value as JSON, with spaces drawn for each place that may have them."""

    def gap() -> str:
        return str(draw(blanks))

    if isinstance(value, dict):
        members = (
            f"{gap()}{json.dumps(name)}{gap()}:{gap()}{written(inner, draw)}{gap()}"
            for name, inner in value.items()
        )
        return "{" + (",".join(members) or gap()) + "}"
    if isinstance(value, list):
        elements = (f"{gap()}{written(inner, draw)}{gap()}" for inner in value)
        return "[" + (",".join(elements) or gap()) + "]"
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


@settings(max_examples=examples(80), deadline=None)
@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), documents), st.data())
def test_any_object(value: dict[str, Any], data: st.DataObject) -> None:
    """However an object is written: each slice is text of it and means its member."""
    pieces = {name: written(inner, data.draw) for name, inner in value.items()}
    gap = data.draw(blanks)
    members = (f"{gap}{json.dumps(name)}:{gap}{text}{gap}" for name, text in pieces.items())
    text = ("{" + (",".join(members) or gap) + "}").encode()
    expected = {name: piece.encode() for name, piece in pieces.items()}
    found = {name: bytes(raw) for name, raw in jsontext.slice_all_members(text).items()}
    assert found == expected
    assert {
        name: bytes(raw) for name, raw in jsontext._scan_object(text.decode()).items()
    } == expected
    assert list(found) == list(value)


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(documents, max_size=5), st.data())
def test_any_array(value: list[Any], data: st.DataObject) -> None:
    """However an array is written: both ways to slice it give the same exact elements."""
    pieces = [written(inner, data.draw) for inner in value]
    gap = data.draw(blanks)
    text = f"{gap}[{gap}" + f"{gap},{gap}".join(pieces) + f"{gap}]{gap}"
    expected = [piece.encode() for piece in pieces]
    assert [bytes(raw) for raw in jsontext.slice_elements(text.encode())] == expected
    assert [bytes(raw) for raw in jsontext._scan_array(text)] == expected


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=60) | st.text('{}[]",:\\u0d8e1. \n', max_size=40).map(str.encode))
def test_any_bytes(text: bytes) -> None:
    """Any bytes are sliced or refused; nothing else is raised."""
    for slices in (jsontext.slice_all_members, jsontext.slice_elements):
        with contextlib.suppress(UnreadableError):
            slices(text)
