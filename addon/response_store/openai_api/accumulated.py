"""Find the output items that a row keeps beside the answer's own object.

`messages` holds the input's items, then those of the output as they were accumulated of a stream.
Some servers send a last object whose output is empty, or lacks what had streamed (ChatGPT's
backend does so): then the accumulated items are what was answered. `build_accumulated_sql` gives
the same as `slice_accumulated`, so that a large input need not be fetched.

"""

from __future__ import annotations

from msgspec import Raw

from response_store import json_text
from response_store.openai_api.items import choose_fuller

_BLANKS = " \t\r\n"


def build_accumulated_sql(table: str) -> str:
    """Return the SQL for the text behind the input in `messages`; null where it is not there."""
    inner = f"substr({table}.input, 2, length({table}.input) - 2)"
    begins = f"'[' || ltrim(rtrim({inner}, '{_BLANKS}'), '{_BLANKS}')"
    whole = f"length({table}.input) > 1 AND substr({table}.messages, 1, length({begins}))"
    text = f"nullif(substr({table}.messages, length({begins}) + 1), ']')"
    return f"CASE WHEN {whole} = {begins} THEN {text} END"


def slice_accumulated(input_: str, messages: str) -> str | None:
    """Return the text behind the input in `messages`; None where it is not there."""
    begins = f"[{input_[1:-1].strip(_BLANKS)}"
    known = len(input_) > 1 and messages.startswith(begins)
    text = messages[len(begins) :] if known else ""
    return None if text in ("", "]") else text


def read_accumulated(text: str | None) -> list[Raw]:
    """Return the items in what `slice_accumulated` gives; none where they can't be read."""
    if text is None:
        return []
    inner = text.strip(_BLANKS).removesuffix("]").lstrip(_BLANKS).removeprefix(",")
    try:
        return json_text.slice_elements(f"[{inner}]".encode("utf-8", "replace"))
    except json_text.UnreadableError:
        return []


def complete_output(text: bytes, items: list[Raw]) -> bytes:
    """Return a response object with its accumulated items, where they are more than its output.

    Raises UnreadableError where it is no object.
    """
    members = json_text.slice_all_members(text)
    output = members.get("output", json_text.ABSENT)
    chosen = choose_fuller_slices(slice_array(output), items)
    if chosen is not items:
        return text
    return json_text.encode_object(members | {"output": Raw(json_text.encode_array(items))})


def choose_fuller_slices(output: list[Raw], items: list[Raw]) -> list[Raw]:
    """Return the items that were accumulated where they hold more than the output does."""
    if not items or list(map(bytes, output)) == list(map(bytes, items)):
        return output
    chosen = choose_fuller(
        [*map(json_text.decode_value, output)], accumulated := [*map(json_text.decode_value, items)]
    )
    return items if chosen is accumulated else output


def slice_array(array: json_text.Text) -> list[Raw]:
    """Return the elements of JSON text; none where it is no array."""
    try:
        return json_text.slice_elements(array)
    except json_text.UnreadableError:
        return []
