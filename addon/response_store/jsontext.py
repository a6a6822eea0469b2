"""JSON as text: look inside without re-encoding.

What the API sent is kept to the letter: number spelling, key order and escapes. So nothing here
decodes a whole document; `slice_members` and `slice_elements` give the slices of it. msgspec slices
fast but refuses lone surrogates and deep nesting; there the standard library's scanner slices
instead.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec
from msgspec import Raw

from response_store.limits import CAREFUL_BYTES, LARGE_TEXT, QUOTES, READ_BYTES, TEXT_PIECE, VALUES

Text = bytes | Raw
if TYPE_CHECKING:
    LongText: TypeAlias = str | bytes
    """A text for a column: a large one is UTF-8."""
else:
    LongText = Any  # msgspec tells no str from bytes in a union
S = TypeVar("S", bound=msgspec.Struct)

ABSENT = Raw(b"")
NULL = b"null"
_BOM = b"\xef\xbb\xbf"
_BLANK = " \t\r\n"
_strings = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_is_escaped = re.compile(rb"[\\\0]").search
# Up to the last whole character: neither an escape nor a surrogate pair is cut in two.
_whole_characters = re.compile(
    rb"(?:[^\\]++"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\u(?![dD][89abAB])[0-9a-fA-F]{4}"
    rb"|\\[^u])*+"
).match
_ESCAPE_BYTES = 6  # of a lone surrogate
_blanks = re.compile(r"[ \t\r\n]*").match
_scanner = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_decoders: dict[type[msgspec.Struct], msgspec.json.Decoder[Any]] = {}
_raw_elements = msgspec.json.Decoder(list[Raw])
_raw_members = msgspec.json.Decoder(dict[str, Raw])
_text = msgspec.json.Decoder(str)
_float = msgspec.json.Decoder(float)
_scan_string: Callable[[str, int, bool], tuple[str, int]] = json.decoder.scanstring  # type: ignore[attr-defined]
_int64 = range(-(2**63), 2**63)
# Text that a database may refuse or cut at: NUL and lone surrogates.
_surrogate = re.compile("[\ud800-\udfff]")
_unstorable = re.compile("[\x00\ud800-\udfff]")


class UnreadableError(ValueError):
    """A text is not the JSON that was expected. The message is the reason, free of content."""


class TooManyValuesError(UnreadableError):
    """A text has more values than are read, or takes too long to be read."""


def check_size(text: bytes, other_bytes: int = 0) -> None:
    """Raise TooManyValuesError where a text is larger than is read, with so many bytes beside."""
    if len(text) + other_bytes > READ_BYTES:
        raise TooManyValuesError(f"more than {READ_BYTES >> 20} MiB to be read")


def check_readable(text: bytes) -> None:
    """Raise TooManyValuesError where a text is larger, or may have more values, than is read."""
    check_size(text)
    check_values(text)


def check_values(text: bytes, limit: int = VALUES) -> None:
    """Raise TooManyValuesError unless a JSON text is sure to have few values.

    They are counted by the marks between them, before anything is decoded.
    """
    if len(text) <= limit:
        return
    quotes = text.count(b'"') - text.count(b'\\"')
    if quotes <= QUOTES and _count_marks(text) <= limit:
        return
    if quotes > QUOTES or _count_marks(_strings.sub(b"", text)) > limit:
        raise TooManyValuesError(f"more than {limit} values")


def _count_marks(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def check_utf8(body: bytes) -> bytes:
    """Return `body` without a byte order mark; raise UnreadableError unless it is UTF-8."""
    body, problem = repair_utf8(body)
    if problem is not None:
        raise UnreadableError(problem)
    return body


def repair_utf8(body: bytes) -> tuple[bytes, str | None]:
    """Return `body` as UTF-8 without a byte order mark, and what was wrong with it, if anything.

    What is no UTF-8 becomes U+FFFD. A character that is cut off at the end is nothing wrong. Raises
    UnreadableError where a large body is no UTF-8.
    """
    body = body.removeprefix(_BOM)
    if body.isascii():
        return body, None
    end, is_cut_off = measure_utf8(body)
    if end == len(body):
        return body, None
    if is_cut_off:
        return body[:end] + b"\xef\xbf\xbd", None
    problem = f"invalid UTF-8 at byte {end}"
    if len(body) > CAREFUL_BYTES:
        raise UnreadableError(problem)
    return body.decode(errors="replace").encode(), problem


def measure_utf8(text: bytes) -> tuple[int, bool]:
    """Return how many bytes are UTF-8, and whether what follows is a character that is cut off.

    It is decoded in pieces: all at once it would take up to four times its size.
    """
    view = memoryview(text)
    at = 0
    while at < len(text):
        piece = view[at : at + TEXT_PIECE]
        try:
            _, size = codecs.utf_8_decode(piece, "strict", at + TEXT_PIECE >= len(text))
        except UnicodeDecodeError as error:
            return at + error.start, error.reason == "unexpected end of data"
        at += size
    return len(text), False


def slice_members(text: Text, fields: type[S]) -> S:
    """Slice the members of a JSON object that `fields`, a Struct of `Raw` fields, names.

    Absent members are `ABSENT`. Raises UnreadableError when `text` is no JSON object.
    """
    decoder = _decoders.get(fields) or _decoders.setdefault(fields, msgspec.json.Decoder(fields))
    try:
        result: S = decoder.decode(text)
        return result
    except (msgspec.MsgspecError, RecursionError):
        scanned = _scan_object(_decode(text))
    return fields(
        **{
            name: scanned[member]
            for name, member in zip(
                fields.__struct_fields__, fields.__struct_encode_fields__, strict=True
            )
            if member in scanned
        }
    )


def slice_all_members(text: Text) -> dict[str, Raw]:
    """Slice every member of a JSON object, in order. Raises UnreadableError."""
    try:
        return _raw_members.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        scanned = _scan_object(_decode(text))
    # msgspec takes no lone surrogates, so it can't write them either.
    return {_surrogate.sub("\ufffd", name): value for name, value in scanned.items()}


def slice_elements(text: Text) -> list[Raw]:
    """Slice the elements of a JSON array. Raises UnreadableError when `text` is none."""
    try:
        return _raw_elements.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return _scan_array(_decode(text))


def slice_values(text: bytes) -> list[Raw]:
    """Slice JSON values that stand one after the other, up to the first that is broken."""
    result: list[Raw] = []
    whole = _decode(text)
    at = _skip(whole, 0)
    try:
        while at < len(whole):
            value, at = _scan_value(whole, at)
            result.append(value)
    except UnreadableError:
        pass
    return result


def is_present(text: Text) -> bool:
    """Return whether a sliced member is there and is not null."""
    size = len(memoryview(text))
    return size > 0 and (size != len(NULL) or bytes(text) != NULL)


def read_slice(text: Text) -> str:
    """Return the slice itself, as it came."""
    return str(memoryview(text), "utf-8")


def read_text(text: Text) -> str | None:
    """Return the value of a JSON string, fit for a text column; None for anything else.

    Of one that is large there is the beginning, and a hash of it all: it is no name. See
    `read_long_text`.
    """
    if bytes(memoryview(text)[:1]) != b'"':
        return None
    if len(memoryview(text)) > LARGE_TEXT:
        digest = hashlib.sha256(memoryview(text)).hexdigest()
        return next(_text_pieces(memoryview(text)[1:-1]), b"").decode(errors="replace") + digest
    try:
        value = _text.decode(text)
    except msgspec.MsgspecError:
        try:
            value = json.loads(read_slice(text), strict=False)
        except ValueError:
            return None
    return replace_unstorable(value)


def read_long_text(text: Text) -> LongText | None:
    """Return the value of a JSON string that may be a long one; None for anything else."""
    if len(memoryview(text)) <= LARGE_TEXT or bytes(memoryview(text)[:1]) != b'"':
        return read_text(text)
    inner = memoryview(text)[1:-1]
    return b"".join(_text_pieces(inner)) if _is_escaped(inner) else bytes(inner)


def join_texts(texts: Sequence[LongText]) -> LongText:
    """Return texts as one."""
    if all(isinstance(text, str) for text in texts) and sum(map(len, texts)) <= LARGE_TEXT:
        return "".join(texts)  # type: ignore[arg-type]
    return b"".join(map(as_utf8, texts))


def decode_column(text: bytes) -> LongText:
    """Return UTF-8 as a text for a column."""
    return text if len(text) > LARGE_TEXT else text.decode()


def as_utf8(text: LongText) -> bytes:
    """Return a text of a column as UTF-8. Raises UnicodeEncodeError for a lone surrogate."""
    return text if isinstance(text, bytes) else text.encode()


def _text_pieces(inner: memoryview) -> Iterator[bytes]:
    """Yield what stands between the quotes of a JSON string as UTF-8, a piece after the other."""
    at = 0
    while at < len(inner):
        characters = _whole_characters(inner, at, at + TEXT_PIECE)
        end = characters.end() if characters else at
        while at < end < len(inner) and inner[end] & 0xC0 == 0x80:
            end -= 1  # in the middle of a character
        if end == at:  # half of a surrogate pair, or no escape at all
            at += _ESCAPE_BYTES
            yield b"\xef\xbf\xbd"
            continue
        piece = read_text(b'"' + bytes(inner[at:end]) + b'"')
        yield b"\xef\xbf\xbd" if piece is None else piece.encode()
        at = end


def decode_value(text: Text) -> Any:
    """Return the value of JSON text; numbers that nothing holds as text, and None for no JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):  # lone surrogates, numbers of any size
        try:
            return json.loads(read_slice(text), parse_int=str, parse_float=str, strict=False)
        except (ValueError, RecursionError):
            return None


def read_int(text: Text) -> int | None:
    """Return the value of a JSON number as a whole number that a BIGINT holds; None for anything
    else.
    """
    exact = bytes(memoryview(text)[:64])
    if exact.lstrip(b"-").isdigit():
        whole = int(exact)
    else:
        number = read_float(text)
        if number is None:
            return None
        whole = int(number)
    return whole if whole in _int64 else None


def read_float(text: Text) -> float | None:
    """Return the value of a JSON number; None for anything else, and for one beyond a double."""
    if not 0 < len(memoryview(text)) <= 64:
        return None
    try:
        return _float.decode(text)
    except msgspec.MsgspecError:
        return None


def replace_unstorable(text: str) -> str:
    """Return `text` with what a database refuses (NUL, lone surrogates) as U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _unstorable.sub("\ufffd", text)


def strip_quotes(text: Text) -> bytes:
    """Return what stands between the quotes of a JSON string, escapes untouched; empty for no
    string.
    """
    body = bytes(text)
    return body[1:-1] if body[:1] == b'"' else b""


def strip_brackets(text: Text) -> bytes:
    """Return what stands between the brackets of a JSON array."""
    return bytes(text).strip()[1:-1].strip()


_is_empty_array = re.compile(rb"\s*\[\s*\]\s*\Z").match


def is_empty_array(text: LongText) -> bool:
    """Return whether a column holds an array without items."""
    return _is_empty_array(as_utf8(text[:_LONGEST_EMPTY])) is not None


_LONGEST_EMPTY = 64  # bytes of blanks and brackets


def encode_array(items: Sequence[Text]) -> bytes:
    """Return a JSON array of already encoded items."""
    return b"[" + b",".join(items) + b"]"


def encode_object(fields: dict[str, Any]) -> bytes:
    """Return a JSON object; values that are `Raw` are embedded as they are."""
    return msgspec.json.encode(fields)


def sort_members(text: str) -> str:
    """Return JSON in one spelling, whoever wrote it; what is no JSON without blanks around it."""
    if not text:
        return ""
    try:
        return msgspec.json.encode(msgspec.json.decode(text), order="sorted").decode()
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return text.strip()


def encode_string(value: str) -> Raw:
    """Return a JSON string."""
    return Raw(msgspec.json.encode(replace_unstorable(value)))


def _decode(text: Text) -> str:
    if len(memoryview(text)) > CAREFUL_BYTES:
        raise UnreadableError("not JSON, or too large to be read with care")
    try:
        return read_slice(text)
    except UnicodeDecodeError as error:
        raise UnreadableError(f"invalid UTF-8 at byte {error.start}") from None


def _scan_object(text: str) -> dict[str, Raw]:
    result: dict[str, Raw] = {}
    at = _require_char(text, 0, "{", "a JSON object")
    while text[at : at + 1] != "}":
        at = _require_char(text, at, '"', "a member's name")
        name, at = _scan_name(text, at)
        at = _require_char(text, at, ":", "a colon")
        value, at = _scan_value(text, at)
        result[name] = value
        at = _skip_comma(text, at, "}")
    _require_end(text, at + 1)
    return result


def _scan_array(text: str) -> list[Raw]:
    result: list[Raw] = []
    at = _require_char(text, 0, "[", "a JSON array")
    while text[at : at + 1] != "]":
        value, at = _scan_value(text, at)
        result.append(value)
        at = _skip_comma(text, at, "]")
    _require_end(text, at + 1)
    return result


def _scan_name(text: str, at: int) -> tuple[str, int]:
    try:
        return _scan_string(text, at, False)
    except ValueError:
        raise UnreadableError(f"not JSON: a name without an end at character {at}") from None


def _scan_value(text: str, at: int) -> tuple[Raw, int]:
    try:
        _, end = _scanner.raw_decode(text, at)
    except RecursionError:
        raise UnreadableError(f"nested too deeply at character {at}") from None
    except ValueError:
        raise UnreadableError(f"not JSON at character {at}") from None
    return Raw(text[at:end].encode()), _skip(text, end)


def _skip_comma(text: str, at: int, close: str) -> int:
    if text[at : at + 1] == close:
        return at
    after = _require_char(text, at, ",", "a comma")
    if text[after : after + 1] == close:
        raise UnreadableError(f"not JSON: a comma before the end at character {at}")
    return after


def _require_char(text: str, at: int, char: str, what: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != char:
        raise UnreadableError(f"not JSON: {what} expected at character {at}")
    return _skip(text, at + 1) if char != '"' else at + 1


def _require_end(text: str, at: int) -> None:
    at = _skip(text, at)
    if at != len(text):
        raise UnreadableError(f"not JSON: more text after the end at character {at}")


def _skip(text: str, at: int) -> int:
    result = _blanks(text, at)
    return result.end() if result else at
