"""What is said of images, files and sounds in place of their base64."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.openai_api.item_texts import (
    _EMBEDDED,
    _replace,
    describe_base64,
    describe_source,
    replace_base64,
)
from tests.fakes.item_kinds import png
from tests.harness.work import at_most

_RIFF = b"RIFF" + bytes(4) + b"WEBP"
JPEG = (
    b"\xff\xd8\xff\xe1" + struct.pack(">H", 1002) + bytes(1000)  # a preview
    + b"\xff\xc0" + struct.pack(">HBHH", 17, 8, 30, 40) + bytes(10)
)  # fmt: skip


@pytest.mark.parametrize(
    ("data", "format_"),
    [
        (png(3, 2), "PNG 3x2"),
        (b"GIF89a" + struct.pack("<HH", 7, 8) + bytes(9), "GIF 7x8"),
        (JPEG, "JPEG 40x30"),
        (_RIFF + b"VP8X" + bytes(8) + b"\x0f\0\0\x1f\0\0" + bytes(9), "WebP 16x32"),
        (_RIFF + b"VP8 " + bytes(10) + struct.pack("<HH", 5, 6) + bytes(9), "WebP 5x6"),
        (_RIFF + b"VP8L" + bytes(5) + (4 | 3 << 14).to_bytes(4, "little"), "WebP 5x4"),
        (b"%PDF-1.4 ...", "PDF"),
        (b"RIFF" + bytes(4) + b"WAVE" + bytes(9), "WAV"),
        (b"ID3" + bytes(40), "MP3"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
    ],
)
def test_format_and_measures(data: bytes, format_: str) -> None:
    """Formats are known by their bytes, whatever a URL declares; the size is that of the file."""
    coded = base64.b64encode(data).decode()
    said = f"{format_}, {len(data)} B" if len(data) < 1024 else f"{format_}, 1.0 KiB"
    for given_ in (coded, coded.rstrip("="), f"data:image/x;base64,{coded}"):
        assert describe_base64(given_) == said
    assert describe_source(f"data:image/x;charset=a;base64,{coded}") == said


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("https://a.example/b.png", "https://a.example/b.png"),
        ("https://a.example/" + "b" * 60, "https://a.example/" + "b" * 42 + "..."),
        ("data:application/x-tar;base64,AAAA", "TAR, 3 B"),
        ("data:text/plain;charset=utf-8,hello", "plain, 5 B"),
        ("data:,", "data, 0 B"),
        ("data:image/png;base64,%%%%", "PNG, 3 B"),
    ],
)
def test_sources(source: str, said: str) -> None:
    """A URL that points elsewhere is shortened; one with data is described."""
    assert describe_source(source) == said


def test_base64_in_a_text() -> None:
    """What is coded within a text is described; what only looks alike stays."""
    coded = base64.b64encode(png()).decode()
    lines = "\n".join(coded[at : at + 76] for at in range(0, len(coded), 76))
    for text in (coded, f"data:image/png;base64,{coded}", lines):
        said = replace_base64(f"before {text} behind")
        assert coded[40:80] not in said
        assert said.startswith("before [")
        assert said.endswith("] behind")
    for text in ("x" * 1000, "a/b" * 100, "0123456789abcdef" * 40, "short QUJD", ""):
        assert replace_base64(text) == text


def test_long_texts_take_no_time() -> None:
    """Runs that are nearly long enough are looked at once."""
    text = ("aB3" * 66 + " ") * 10_000
    with at_most(1):
        assert replace_base64(text) == text


@given(st.binary(max_size=80), st.sampled_from([b"", b"\xff\xd8\xff", b"GIF89a", _RIFF + b"VP8X"]))
def test_anything_is_described(rest: bytes, start: bytes) -> None:
    """Whatever the bytes are, there is a description."""
    coded = base64.b64encode(start + rest).decode()
    assert describe_base64(coded).endswith(f", {len(start + rest)} B")
    assert describe_base64(coded[1:])


PIECES = st.lists(
    st.sampled_from(
        ["A1b2" * 15, "Zz9/" * 60, "-_" * 40, "word ", "\n", "\r\n", "=", "é", "\ud800"]
    )
    | st.text(max_size=20),
    max_size=30,
)


@given(PIECES)
def test_the_quick_look_overlooks_no_base64(pieces: list[str]) -> None:
    """A text that is let through by its look alone has nothing that the pattern would find."""
    text = "".join(pieces)
    assert replace_base64(text) == _EMBEDDED.sub(_replace, text)
