"""What is found in a text, and what stands in its place."""

from __future__ import annotations

import gc

import pytest

from response_store.redaction.known import KNOWN
from response_store.redaction.patterns import Patterns, find_secrets, mask_matches
from tests.harness.each import each
from tests.harness.work import at_most, measure
from tests.unit.redaction.keys import A20, A40, KEYS, PEM, said

ALL = Patterns(KNOWN, {})


def cleaned(text: str, patterns: Patterns = ALL) -> str:
    found = find_secrets(text.encode(), patterns.all)
    assert patterns.may_contain_secret(text.encode()) or not found
    return mask_matches(text.encode(), found).decode()


def test_each_kind_has_an_example() -> None:
    """No known pattern goes untested."""
    assert sorted(KEYS) == sorted(KNOWN)


@each("name", KNOWN)
def test_a_key_is_replaced_by_its_name(name: str) -> None:
    """The key goes, what stands around it stays."""
    assert cleaned(said(name)) == said(name).replace(KEYS[name], f"[redacted:{name}]")


@each("name", KNOWN)
def test_a_pattern_alone_finds_its_key(name: str) -> None:
    """Each name can be chosen by itself."""
    assert f"[redacted:{name}]" in cleaned(said(name), Patterns([name], {}))


@pytest.mark.parametrize(
    "before", ["", "\n", "\\n", "KEY_", "'", "%20", "\\u0020", "=", "é", "\x1b[1;32m", "\\u001b[0m"]
)
def test_what_stands_before_a_key(before: str) -> None:
    """Also an escape, whose last letter is none of the text's."""
    assert cleaned(before + KEYS["anthropic"]) == before + "[redacted:anthropic]"


@each(
    "text",
    [
        "task-" + A40,  # the end of a word is no beginning of a key
        "sk-loading-indicator-container-of-the-page",
        "hf_short",
        "sk-toggleable__label-arrow",  # 22 characters, as a key of LiteLLM has
        "0123456789abcdef0123456789abcdef",  # a hash, unless a name says what it is
        "Basic understanding of internationalization",
        "password = None; password=null&pwd=",
        "see api_key=os.environ['X'] and api key management",
        "pplx-7b-online 1//2 AQ.short twilio SK123 hvs.short",
        "Bearer of good news, for everyone",
        "https://api.openai.com/v1/responses?a=b@c",
        "AKIA is a prefix",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "resp_68a1b2c3d4e5f60768a1b2c3d4e5f607 call_Ab3dEf6hIj9lMn2pQr5tUv8x msg_0a1b2c3d",
    ],
)
def test_what_is_no_key(text: str) -> None:
    """Words and ids that look a little like keys stay."""
    assert cleaned(text) == text


def test_a_private_key_however_its_lines_end() -> None:
    """Lines ends as escapes, as escapes of escapes, or none; cut off before its end."""
    for end in ("\n", "\r\n", "\\n", "\\\\n", " "):
        assert cleaned(f"a {PEM} b".replace("\n", end)) == "a [redacted:private-key] b"
    assert cleaned(PEM[:-40] + '", "b": 1') == '[redacted:private-key]", "b": 1'


@pytest.mark.parametrize(
    "margin", ["     {}\u2192", "{} | ", "{}: ", "> ", "+", "\u2502 ", "# ", " * "]
)
def test_a_private_key_as_tools_show_files(margin: str) -> None:
    """With numbers, bars and arrows in front of its lines; also where its end is cut off."""
    lines = [margin.format(n) + line for n, line in enumerate(PEM.splitlines(), 1)]
    made = cleaned("\n".join(["a.", *lines, "b."]))
    assert made == "a.\n" + margin.format(1) + "[redacted:private-key]\nb."
    assert "MIIE" not in cleaned("\n".join(lines[:-1]))


def test_one_look_for_all() -> None:
    """Many patterns cost hardly more than one, with groups or without."""
    own = {f"own{n}": rf"cust{n}-(?P<secret>[0-9]{{8}})|id{n}" for n in range(90)}
    patterns = Patterns(KNOWN, own)
    assert len(patterns._looks) < 10
    assert cleaned("cust7-12345678 id88", patterns) == "cust7-[redacted:own7] [redacted:own88]"


@pytest.mark.parametrize(
    ("regex", "text"),
    [
        (r"[(?P<secret>]{3}x", "sec" + "x"),
        (r"\Q(?P<secret>\Ea", "(?P<secret>a"),
        (r"\(?P<secret>a", "P<secret>a"),
        (r"(?P<other>o)(?P<secret>a+)", "oaa"),
        (r"(?i)KEY(?P<secret>a)", "keya"),
        ("a{900}", "a" * 900),
    ],
)
def test_the_look_finds_what_each_finds(regex: str, text: str) -> None:
    """However a group is spelled, or something that only looks like one."""
    for more in ({}, {"b": "b|c"}, {f"n{n}": f"y{{500}}[a-z]{{400}}{n}" for n in range(40)}):
        assert "[redacted:own]" in cleaned(text, Patterns(KNOWN, {"own": regex} | more))


def test_what_overlaps_is_replaced_whole() -> None:
    """A key inside another secret leaves no rest of either."""
    own = Patterns(["openai"], {"line": "key .{30}"})
    assert cleaned(f"key {KEYS['openai']} end", own) == "[redacted:line] end"


def test_a_mark_is_no_secret() -> None:
    """What was redacted once comes through again as it is."""
    once = cleaned(said("url-password"))
    assert cleaned(once) == once
    assert find_secrets(once.encode(), ALL.all) == []


def test_an_own_pattern_with_a_group() -> None:
    """Of a group named secret only that part goes."""
    own = Patterns((), {"pin": r"(?i)pin:\s*(?P<secret>[0-9]{4})"})
    assert cleaned("PIN: 1234, pin:99999", own) == "PIN: [redacted:pin], pin:[redacted:pin]9"


def test_lines_have_ends() -> None:
    """`^` and `$` are those of a line."""
    assert cleaned("a\nsecret\nb", Patterns((), {"l": "^secret$"})) == "a\n[redacted:l]\nb"


def test_no_pattern_runs_away() -> None:
    """What takes other engines for ever is done in a moment: time is linear in the text."""
    own = Patterns(KNOWN, {"evil": "(a+)+b", "more": r"(x+x+)+y"})
    with at_most(5):
        for text in ("a" * 200_000, "x" * 200_000, ("-----BEGIN " + "PRIVATE KEY-----") * 5_000):
            find_secrets(text.encode(), own.all)


MARKS = {
    "marks": "-----BEGIN " + "PRIVATE KEY-----",
    "marks with a rest": "-----BEGIN " + "PRIVATE KEY-----MII, ",
    "marks that end": "-----BEGIN " + "PRIVATE KEY-----!",
    "ends": "-----END " + "PRIVATE KEY-----",
    "halves": "-----BEGIN " + "PRIVATE KEY----",
    "tokens": "eyJ",
    "addresses": "a://b:",
    "names": "api-key: ",
    "passwords": "password=",
    "escapes": "\x1b]",
    "keys": "sk-ant-" + A20 + " ",
}


def seconds(text: bytes) -> float:
    """Return the processor time that a look takes."""
    used = measure()
    find_secrets(text, ALL.all)
    return used()


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", MARKS)
def test_time_is_linear(name: str) -> None:
    """Four times as many marks take about four times as long, whatever the mark."""
    took = []
    gc.disable()  # whose passes take as long as all that this process holds
    try:
        for size in (50_000, 200_000):
            text = (MARKS[name] * (size // len(MARKS[name]))).encode()
            took.append(min(seconds(text) for _ in range(3)))
    finally:
        gc.enable()
    assert took[1] < 4 * took[0] * 2.5 + 0.1


def test_many_private_keys() -> None:
    """Of several keys each ends where it does, also where one before it was cut off."""
    assert cleaned(f"a{PEM}b{PEM}c") == "a[redacted:private-key]b[redacted:private-key]c"
    begin = PEM.partition("\n")[0]
    assert cleaned(f"{begin}\nMIIE\u0001 {PEM}!") == (
        "[redacted:private-key]\u0001 [redacted:private-key]!"
    )


def test_the_least_length() -> None:
    """One character less than the least length is no key, one more is."""
    assert cleaned("sk-ant-" + A20[:-1]) == "sk-ant-" + A20[:-1]
    assert cleaned("sk-ant-" + A20) == "[redacted:anthropic]"
