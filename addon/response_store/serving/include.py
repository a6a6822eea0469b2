"""The query parameter `include`: whether what is stored has what it asks for.

What is stored is what the client got when it created the response. Where that holds what is asked
for, or nothing that it could be asked of, `include` is met; otherwise only the API can tell.

Source: the API reference, "Create a model response", `include`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from response_store import json_text
from response_store.serving.slices import (
    Members,
    get_array,
    get_object,
    get_text,
    is_present,
    read_members,
)


def includes(items: Iterable[json_text.Text], include: tuple[str, ...]) -> bool:
    """Return whether these items hold everything that `include` asks for."""
    if not include:
        return True
    seen = [read_members(item) for item in items]
    return not any(_LACKS[name](item) for name in include for item in seen)


def _lacks(kind: str, name: str) -> Callable[[Members], bool]:
    return lambda item: get_text(item, "type") == kind and not is_present(item, name)


def _lacks_screenshot(item: Members) -> bool:
    is_screenshot = get_text(item, "type") == "computer_call_output"
    return is_screenshot and not is_present(get_object(item, "output"), "image_url")


def _lacks_sources(item: Members) -> bool:
    action = get_object(item, "action")
    searched = get_text(item, "type") == "web_search_call" and get_text(action, "type") == "search"
    return searched and not is_present(action, "sources")


def _lacks_image(item: Members) -> bool:
    return any(not is_present(part, "image_url") for part in _list_parts(item, "input_image"))


def _lacks_logprobs(item: Members) -> bool:
    """Return whether an output text has no log probabilities; without a
    request for them the list is empty.
    """
    texts = [part for part in _list_parts(item, "output_text") if get_text(part, "text")]
    return any(not get_array(part, "logprobs") for part in texts)


def _list_parts(item: Members, kind: str) -> list[Members]:
    parts = map(read_members, get_array(item, "content"))
    return [part for part in parts if get_text(part, "type") == kind]


_LACKS: dict[str, Callable[[Members], bool]] = {
    "code_interpreter_call.outputs": _lacks("code_interpreter_call", "outputs"),
    "computer_call_output.output.image_url": _lacks_screenshot,
    "file_search_call.results": _lacks("file_search_call", "results"),
    "message.input_image.image_url": _lacks_image,
    "message.output_text.logprobs": _lacks_logprobs,
    "reasoning.encrypted_content": _lacks("reasoning", "encrypted_content"),
    "web_search_call.action.sources": _lacks_sources,
    "web_search_call.results": _lacks("web_search_call", "results"),
}
KNOWN = frozenset(_LACKS)
