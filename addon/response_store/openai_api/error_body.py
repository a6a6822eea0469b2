"""Errors as servers word them, wherever in a body, a chunk or an event they put them.

Known shapes: OpenAI's `{"error": {code, type, message}}`; flat ones, `{"object": "error"}` of vLLM
and Mistral; texts and lists (`{"error": "…"}`, `[{"error": …}]`); a code beside a text (xAI);
`choices[].error` (OpenRouter); `base_resp` (MiniMax); `{"detail": …}` (FastAPI); `{"errors": […]}`
(Cloudflare). An error that says nothing (null, `""`, `{}`, `[]`, false, 0) is none.
"""

from __future__ import annotations

from msgspec import Raw

from response_store import jsontext
from response_store.jsontext import ABSENT
from response_store.openai_api.outcome import ApiError

Members = dict[str, Raw]
_DEPTH = 4  # errors within errors
_MESSAGE_CHARS, _CODE_CHARS = 500, 100  # of what is no text
_ELEMENTS = 16  # of a list of errors
_EMPTY = frozenset({b"", b"null", b'""', b"{}", b"[]", b"false", b"0"})
_WORDS = ("message", "error", "detail", "details", "msg", "reason", "title", "faultstring")
_FLAT_WORDS = (
    "message", "detail", "msg", "error_msg", "error_message", "errorMessage", "Message", "errors",
    "fault", "title",
)  # fmt: skip
_CODES = ("error_code", "errorCode", "error_type", "status", "status_code", "statusCode")
_NO_CODES = frozenset({"error", "response.error", "about:blank"})  # types that name no error
_SUCCESS = frozenset({b"0", b'"0"', b"200", b'"200"', b"20000", b'"success"', b'"ok"', b'"OK"'})
_ANSWERS = ("choices", "output")


def read_error(members: Members) -> ApiError | None:
    """Read the error of a JSON object; None where it reports none, or has an answer beside."""
    api_error = (
        _read_named(members)
        or _read_choices_error(members.get("choices", ABSENT))
        or _read_vendor_error(members)
    )
    if api_error is not None or any(jsontext.is_present(members.get(n, ABSENT)) for n in _ANSWERS):
        return api_error
    return _read_flat_error(members)


def read_error_value(value: jsontext.Text, siblings: Members | None = None) -> ApiError | None:
    """Read what an `error` member holds; its code and message may stand in `siblings`."""
    if _is_empty(value):
        return None
    siblings = siblings or {}
    inner = _read_members(value)
    if not inner and bytes(memoryview(value)[:1]) == b"[":
        inner = next(filter(None, map(_read_members, _slice_elements(value))), {})
    code = _find_code(inner) or _find_code(_merge_inner(inner)) or _find_code(siblings)
    message = _find_words(Raw(value)) or _find_first_words(siblings, ("message", "msg", "detail"))
    if code is None and message is None and _says_nothing(inner):
        return None
    if message is None and not inner:
        code = code or _read_number(Raw(value))
    if message is None and code is None:
        message = _quote_unread(value, inner)
    return ApiError(code, message)


def read_error_body(text: jsontext.Text) -> ApiError | None:
    """Read the error of a JSON text, an object or a list of objects; None where it has none."""
    try:
        if bytes(memoryview(text)[:1]) != b"[":
            return read_error(jsontext.slice_all_members(text))
        return next(filter(None, map(read_error, map(_read_members, _slice_elements(text)))), None)
    except jsontext.UnreadableError:
        return None


def _read_named(members: Members) -> ApiError | None:
    value = members.get("error", ABSENT)
    return None if _is_empty(value) else read_error_value(value, members)


def _read_choices_error(choices: Raw) -> ApiError | None:
    if not jsontext.is_present(choices):
        return None
    errors = (_read_members(choice).get("error", ABSENT) for choice in _slice_elements(choices))
    return next(filter(None, map(read_error_value, errors)), None)


def _read_vendor_error(members: Members) -> ApiError | None:
    status = _read_members(members.get("base_resp", ABSENT))
    if _is_empty(status.get("status_code", ABSENT)):
        return None
    return ApiError(
        _read_number(status["status_code"]), jsontext.read_text(status.get("status_msg", ABSENT))
    )


def _read_flat_error(members: Members) -> ApiError | None:
    """Read an object that is an error itself: it says so, or it has words and no success."""
    says_so = jsontext.read_text(members.get("object", ABSENT)) == "error"
    if not says_so and bytes(members.get("code", ABSENT)) in _SUCCESS:
        return None
    if not says_so and bytes(members.get("success", ABSENT)) == b"true":
        return None
    message = _find_first_words(members, _FLAT_WORDS)
    if message is None and not says_so:
        return None
    errors = next(iter(_slice_elements(members.get("errors", ABSENT))), ABSENT)
    nested = _read_members(members.get("message", ABSENT)) or _read_members(errors)
    return ApiError(_find_code(members) or _find_code(nested), message)


def _find_code(members: Members) -> str | None:
    for name in ("code", "type"):
        text = jsontext.read_text(members.get(name, ABSENT))
        if text and text not in _NO_CODES:
            return text
    number = _read_number(members.get("code", ABSENT))
    if number is not None:
        return number
    for name in _CODES:
        value = members.get(name, ABSENT)
        if code := jsontext.read_text(value) or _read_number(value):
            return code
    return None


def _read_number(value: Raw) -> str | None:
    number = bytes(memoryview(value)[:1]) in b"-0123456789" and not _is_empty(value)
    return jsontext.read_slice(value)[:_CODE_CHARS] if number else None


def _find_words(value: Raw, depth: int = 0) -> str | None:
    """Return the words of an error: a text, or those of an object or of a list's elements."""
    start = bytes(memoryview(value)[:1])
    if start == b'"':
        return jsontext.read_text(value) or None
    if depth >= _DEPTH:
        return None
    if start == b"[":
        texts = (_find_words(element, depth + 1) for element in _slice_elements(value))
        return "; ".join(filter(None, texts)) or None
    return _find_first_words(_read_members(value), _WORDS, depth) if start == b"{" else None


def _find_first_words(members: Members, names: tuple[str, ...], depth: int = 0) -> str | None:
    texts = (_find_words(members[name], depth + 1) for name in names if name in members)
    return next(filter(None, texts), None)


def _merge_inner(members: Members) -> Members:
    return _read_members(members.get("error", ABSENT)) or _read_members(
        members.get("detail", ABSENT)
    )


def _says_nothing(members: Members) -> bool:
    return bool(members) and all(map(_is_empty, members.values()))


def _quote_unread(value: jsontext.Text, inner: Members) -> str | None:
    if not inner and bytes(memoryview(value)[:1]) not in (b'"', b"["):
        return None  # true, or a number
    return jsontext.replace_unstorable(jsontext.read_slice(value)[:_MESSAGE_CHARS])


def _is_empty(value: jsontext.Text) -> bool:
    return len(memoryview(value)) <= 5 and bytes(value) in _EMPTY


def _read_members(value: jsontext.Text) -> Members:
    if bytes(memoryview(value)[:1]) != b"{":
        return {}
    try:
        return jsontext.slice_all_members(value)
    except jsontext.UnreadableError:
        return {}


def _slice_elements(value: jsontext.Text) -> list[Raw]:
    if bytes(memoryview(value)[:1]) != b"[":
        return []
    try:
        return jsontext.slice_elements(value)[:_ELEMENTS]
    except jsontext.UnreadableError:
        return []
