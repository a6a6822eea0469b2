"""Credentials in bodies are masked, wherever the API has them; all else stays to the letter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.openai_api.credentials import (
    UncleanableError,
    _spell,
    is_ordinary,
    list_spellings,
    mask,
    mask_repeated,
    may_hold_credentials,
    may_hold_credentials_sliced,
)
from tests.harness.each import each
from tests.hypothesis_profiles import examples

SECRET = "s3cr3t-of-mine"


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def mcp(**fields: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_url": "https://x", **fields}


SECRET_PLACES: dict[str, bytes] = {
    "authorization": text({"tools": [mcp(authorization=SECRET)]}),
    "spelt as a header": text({"tools": [mcp(Authorization=SECRET)]}),
    "headers": text({"tools": [mcp(headers={"X-Key": SECRET, "Authorization": SECRET})]}),
    "headers as lists": text({"tools": [mcp(headers={"X-Key": [SECRET, {"a": SECRET}]})]}),
    "headers as a text": text({"tools": [mcp(headers=SECRET)]}),
    "authorization as an object": text({"tools": [mcp(authorization={"token": SECRET})]}),
    "a later tool": text({"tools": [{"type": "function"}, mcp(authorization=SECRET)]}),
    "tools of an item": text({"input": [{"type": "x", "tools": [mcp(headers={"k": SECRET})]}]}),
    "tools of a response": text({"response": {"tools": [mcp(headers={"k": SECRET})]}}),
    "domain secrets": text(
        {
            "tools": [
                {
                    "container": {
                        "network_policy": {
                            "domain_secrets": [{"domain": "d", "name": "n", "value": SECRET}] * 2
                        }
                    }
                }
            ]
        }
    ),
    "an escaped name": (rb'{"tools":[{"\u0061uthorization" : "%s"}]}' % SECRET.encode()),
    "escaped names": (rb'{"t\u006fols":[{"\u0068e\u0061ders":{"k":"%s"}}]}' % SECRET.encode()),
    "a name escaped all through": (
        b'{"domain_secrets":[{"value":"x"}],"%s":[{"value":"%s"}]}'
        % ("".join(f"\\u{ord(c):04x}" for c in "domain_secrets").encode(), SECRET.encode())
    ),
    "spaces": b'{ "tools" :\n[ {\t"authorization"  :\r\n "%s" } ] }' % SECRET.encode(),
    "cut off after it": text({"tools": [mcp(authorization=SECRET)]})[:-3],
    "cut off within it": text({"tools": [mcp(authorization=SECRET + "tail")]})[:-6],
    "after what is no JSON": b"<html>}}]]" + text({"tools": [mcp(authorization=SECRET)]}),
    "in an event": b"event: x\ndata: " + text({"tools": [mcp(headers={"k": SECRET})]}) + b"\n\n",
    "after a cut event": b'data: {"tools":[{"a":\n\ndata: '
    + text({"tools": [mcp(headers={"k": SECRET})]}),
    "very deep": b'{"a":' * 30_000 + text({"tools": [mcp(authorization=SECRET)]}) + b"}" * 30_000,
}


@each("name", SECRET_PLACES)
def test_masked(name: str) -> None:
    """A credential is masked in each place that may hold one, and handed over for its echoes."""
    body = SECRET_PLACES[name]
    masked = mask(body)
    assert SECRET.encode() not in masked.body
    assert b'"***"' in masked.body
    assert any(SECRET.encode() in secret for secret in masked.secrets)
    if name != "cut off within it":
        assert masked.body == body.replace(b'"%s"' % SECRET.encode(), b'"***"').replace(
            b'[{"value":"x"}]', b'[{"value":"***"}]'
        )


KEPT: dict[str, bytes] = {
    "nothing of the kind": text({"model": "m", "input": "x"}),
    "a schema with such properties": text(
        {
            "tools": [
                {
                    "type": "function",
                    "parameters": {
                        "properties": {
                            "headers": {"type": "object", "description": "headers"},
                            "authorization": {"type": "string"},
                            "domain_secrets": {"type": "array"},
                        },
                        "required": ["headers", "authorization"],
                    },
                }
            ]
        }
    ),
    "headers that are no tool's": text({"metadata": {"headers": {"X-Key": "abc"}}}),
    "values that are no domain's": text({"headers": [{"value": "x"}], "value": "y"}),
    "text that speaks of it": text(
        {"input": '{"tools":[{"authorization":"x"}]}', "headers": "authorization: x"}
    ),
    "arguments": text({"arguments": json.dumps({"headers": {"a": "b"}, "authorization": "x"})}),
    "numbers and null": text({"tools": [mcp(authorization=None, headers={})]}),
    "names of domains": text({"domain_secrets": [{"domain": "d", "name": "n"}]}),
    "odd spellings": b'{ "headers"\t: 1e400 ,"\\u0041" : "\\ud83d\\/" , "a":1.50 }',
    "no JSON": b'headers: authorization "headers": \\u0061"',
    "empty": b"",
}


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str) -> None:
    """What only looks like it stays, and comes back as the same object."""
    body = KEPT[name]
    masked = mask(body)
    assert masked.body is body
    assert masked.secrets == ()


def test_all_else_stays() -> None:
    """Around a credential every byte stays as it was written."""
    before, after = b'{ "a" : 1.50 , "tools":[ {"authorization": ', b' ,"b":"\\u0041"}],"c":1e400 }'
    assert mask(before + b'"\\u0061\\""' + after).body == before + b'"***"' + after


secrets = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).map(lambda t: "§§" + t)
plain = st.none() | st.booleans() | st.integers() | st.text('ab"\\{[,:é\ud83d', max_size=5)
names = st.sampled_from(["a", "headers", "tools", "value", "domain_secrets", "properties"])
anything = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
holders = st.one_of(
    secrets.map(lambda s: {"tools": [{"authorization": s}]}),
    st.tuples(secrets, secrets).map(
        lambda two: {"tools": [1, {"headers": {"a": two[0], "b": [two[1]]}}]}
    ),
    secrets.map(lambda s: {"domain_secrets": [{"value": s, "name": "n"}]}),
)
bodies = st.recursive(
    holders | anything,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names | st.just("x"), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=examples(150), deadline=None)
@given(bodies, st.booleans())
def test_any_body(value: Any, escaped: bool) -> None:
    """Whatever surrounds them, no credential is left, and JSON stays JSON."""
    try:
        body = json.dumps(value, ensure_ascii=escaped).encode()
    except UnicodeEncodeError:
        body = json.dumps(value).encode()
    masked = mask(body)
    kept = json.loads(masked.body)
    assert "§§" not in json.dumps(kept, ensure_ascii=False)
    assert shape(kept) == shape(value)


def shape(value: Any) -> Any:
    """A value without its texts."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return "" if isinstance(value, str) else value


@settings(max_examples=examples(150), deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                b'"',
                b"\\",
                b"{",
                b"}",
                b"[",
                b"]",
                b",",
                b":",
                b'"tools":[{',
                b'"headers":{',
                b"\\u00",
            ]
            + [b'"authorization":', b'"domain_secrets":[', b'"value":"x"', b"\xff", b"\n", b"a"]
        ),
        max_size=25,
    ).map(b"".join)
)
def test_any_bytes(body: bytes) -> None:
    """Any bytes are masked or not; nothing is raised."""
    masked = mask(body)
    if not masked.secrets and b"***" not in masked.body:
        assert masked.body is body
    mask(b'{"headers":1,' + body)


@each("name", SECRET_PLACES)
def test_the_look_sees_them(name: str) -> None:
    """What is masked is seen before, looked at whole or in slices of any size."""
    body = SECRET_PLACES[name].lstrip(b'{"a:').rstrip(b"}")
    assert may_hold_credentials(body)
    for size in (*range(1, 150), 999, 1000, 1001):
        assert may_hold_credentials_sliced(body, lambda: None, size)


@pytest.mark.parametrize(
    "body",
    [
        text({"model": "m", "input": "the headers, and authorization of \u00fc"}),
        rb'{"input":"\"headers\": 1, \"authorization\":"}',
        b'["headers","authorization"]',
        b'{"a \\"headers":1}',
        text(["\u00e9" * 20, "domain_secrets"]),
    ],
)
def test_the_look_passes_texts(body: bytes) -> None:
    """Names in texts are no members."""
    assert not may_hold_credentials(body)
    for size in range(1, 150):
        assert not may_hold_credentials_sliced(body, lambda: None, size)


def test_the_colon_may_be_far_away() -> None:
    """However much space stands between a name and its colon, slices see both."""
    body = b'{"headers"' + b" " * 5000 + b":{}}"
    assert may_hold_credentials(body)
    assert may_hold_credentials_sliced(body, lambda: None, 100)


def test_a_name_that_is_no_utf8() -> None:
    """An escaped name is looked at whatever bytes are beside its escape."""
    assert may_hold_credentials(b'{"\xff\\u0061":1}')


def test_a_pause_between_slices() -> None:
    """A large body is looked at in slices, with a pause between two; a hit ends the look."""
    pauses: list[None] = []
    assert not may_hold_credentials_sliced(b"x" * 1000, lambda: pauses.append(None), 300)
    assert len(pauses) == 3
    assert may_hold_credentials_sliced(b'"headers":' * 100, lambda: pauses.append(None), 300)
    assert len(pauses) == 3


names_in_pieces = st.lists(
    st.sampled_from(
        [b'"', b"\\", b" ", b"\n", b":", b"a" * 14, b"b" * 40, b"\\u0061", b"uthorization"]
        + [b'"headers"', b"authorization", b"domain_secrets", b"eaders", b"\\u00"]
    ),
    max_size=30,
).map(b"".join)


@settings(max_examples=examples(300), deadline=None)
@given(names_in_pieces | bodies.map(text), st.integers(1, 200))
def test_slices_see_what_the_whole_shows(body: bytes, size: int) -> None:
    """The look comes to the same in slices of any size."""
    assert may_hold_credentials_sliced(body, lambda: None, size) == may_hold_credentials(body)


@settings(max_examples=examples(150), deadline=None)
@given(bodies, st.booleans())
def test_the_look_is_as_wide_as_the_mask(value: Any, escaped: bool) -> None:
    """Where masking changes a body, the look says so beforehand."""
    try:
        body = json.dumps(value, ensure_ascii=escaped).encode()
    except UnicodeEncodeError:
        body = json.dumps(value).encode()
    assert may_hold_credentials(body) or "\u00a7\u00a7" not in str(value)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(bodies, max_size=4), st.sampled_from([b"\n", b"\r\n"]))
def test_pieces_of_a_stream(values: list[Any], newline: bytes) -> None:
    """Where masking changes a stream, the look at one of its events says so."""
    events = [b"event: x\ndata: " + text(value) + newline * 2 for value in values]
    looks = [may_hold_credentials(event) for event in events]
    assert looks == [may_hold_credentials(text(value)) for value in values]
    stream = b"".join(events)
    assert any(looks) == may_hold_credentials(stream)
    assert any(looks) or mask(stream).body == stream


def echo_of(secret: Any, answer: bytes) -> bytes:
    return mask_repeated(answer, mask(text({"tools": [mcp(authorization=secret)]})).secrets)


ECHOES = [
    ("secret-word", b"a secret-word, twice: secret-word", b"a ***, twice: ***"),
    ("Bearer secret-word", b"not secret-word", b"not ***"),
    ("sl/ash-word", rb"sl\/ash-word sl/ash-word", b"*** ***"),
    ("g\u00fcltig-word", "g\\u00fcltig-word g\u00fcltig-word".encode(), b"*** ***"),
    ('quo"te-word', rb"quo\"te-word", b"***"),
    ("short", b"a short one", b"a short one"),
    ("Bearer x", b"Bearer x, and x", b"***, and x"),
]


@pytest.mark.parametrize(("secret", "answer", "masked"), ECHOES)
def test_echoes(secret: str, answer: bytes, masked: bytes) -> None:
    """An answer that repeats a credential is masked too; short ones would hit ordinary words."""
    assert echo_of(secret, answer) == masked


def test_echoes_that_overlap() -> None:
    """Of two credentials that begin alike, nothing of the longer is left."""
    tools = [mcp(authorization="abcdefgh"), mcp(authorization="abcdefgh-and-more")]
    found = mask(text({"tools": tools})).secrets
    assert mask_repeated(b"abcdefgh-and-more abcdefgh", found) == b"*** ***"


def test_without_secrets() -> None:
    """Without credentials an answer comes back as the same object."""
    answer = text({"a": 1})
    assert mask_repeated(answer, ()) is answer


URLS = {
    "name and password": "https://me:s3cr3t-of-mine@h.example/mcp",
    "password alone": "https://s3cr3t-of-mine@h.example/mcp",
    "parameter": "https://h.example/mcp?api_key=s3cr3t-of-mine",
    "parameters": "https://h.example/mcp?a=1&token=s3cr3t-of-mine;x=s3cr3t-of-mine#k=s3cr3t-of-mine",
}


@pytest.mark.parametrize("name", URLS)
def test_urls_of_servers(name: str) -> None:
    """What may be a credential in the URL of a tool's server is masked, the rest of it stays."""
    body = text({"tools": [mcp(server_url=URLS[name])]})
    masked = mask(body)
    assert SECRET.encode() not in masked.body
    assert b"h.example/mcp" in masked.body
    assert SECRET.encode() in b" ".join(masked.secrets)
    assert json.loads(masked.body)
    plain = text({"tools": [mcp(server_url="https://h.example/mcp")]})
    assert mask(plain).body == plain


SOURCES = {
    "key": {"authentication": {"type": "api_key", "key": SECRET}},
    "connection string": {"authentication": {"type": "x", "connection_string": SECRET}},
    "access token": {"authentication": {"type": "access_token", "access_token": SECRET}},
    "elsewhere": {"embedding_dependency": {"authentication": {"type": "api_key", "key": SECRET}}},
    "without a place": {"endpoint": "https://h", "key": SECRET},
    "new": {"authentication": {"type": "x", "anything": SECRET}},
}


@pytest.mark.parametrize("name", SOURCES)
def test_data_sources(name: str) -> None:
    """The credentials of Azure's data sources are masked, their types and addresses stay."""
    source = {"type": "azure_search", "parameters": SOURCES[name] | {"index_name": "i"}}
    body = text({"model": "m", "data_sources": [source]})
    masked = json.loads(mask(body).body)
    assert SECRET not in str(masked)
    assert masked["data_sources"][0]["type"] == "azure_search"
    assert masked["data_sources"][0]["parameters"]["index_name"] == "i"
    other = text({"model": "m", "metadata": {"key": SECRET}})
    assert mask(other).body == other


@pytest.mark.exhaustive
def test_what_is_too_much_to_be_cleaned() -> None:
    """A text that is deeper than is walked is not cleaned, nor one with a million echoes."""
    with pytest.raises(UncleanableError):
        mask(b'{"tools":[{"headers":' + b"[" * 300_000)
    with pytest.raises(UncleanableError):
        mask_repeated(bytes(1 << 20), tuple(b"%d" % n for n in range(5000)))


@settings(max_examples=examples(200))
@given(st.text(st.sampled_from('Bearer Tokn0.~+=:-_"\\/\u00e9\n'), max_size=40))
def test_plain_credentials_take_the_short_way(value: str) -> None:
    """Whatever is in a credential, it is looked for in every spelling that a JSON text may have."""
    slowly = set(_spell(json.dumps(value)[1:-1].encode()))
    assert set(list_spellings([value])) == slowly


def test_echoes_of_a_client() -> None:
    """A header's value is looked for whole, and without its scheme; in each spelling of JSON."""
    spellings = list_spellings(["Bearer abc/def-0123456789", "short"])
    assert b"abc/def-0123456789" in spellings
    assert rb"abc\/def-0123456789" in spellings
    assert not any(b"short" in spelling for spelling in spellings)
    assert [is_ordinary(b"not-needed"), is_ordinary(b"abc-0123")] == [True, False]
