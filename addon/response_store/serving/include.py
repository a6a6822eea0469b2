"""`include`: more than an answer usually holds.

What is stored is what the client got when it created the response. Where that holds what is asked
for, or nothing that it could be asked of, `include` is met; otherwise only the API can tell.

Source: the API reference, "Create a model response", `include`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from response_store import json_text
from response_store.serving.slices import (
    Members,
    member_of,
    members_of,
    parts_of,
    present,
    text_of,
)


def includes(items: Iterable[json_text.Text], include: tuple[str, ...]) -> bool:
    """Return whether these items hold everything that `include` asks for."""
    if not include:
        return True
    seen = [members_of(item) for item in items]
    return not any(_LACKS[name](item) for name in include for item in seen)


def _lacks(kind: str, name: str) -> Callable[[Members], bool]:
    return lambda item: text_of(item, "type") == kind and not present(item, name)


def _lacks_screenshot(item: Members) -> bool:
    is_screenshot = text_of(item, "type") == "computer_call_output"
    return is_screenshot and not present(member_of(item, "output"), "image_url")


def _lacks_sources(item: Members) -> bool:
    action = member_of(item, "action")
    searched = text_of(item, "type") == "web_search_call" and text_of(action, "type") == "search"
    return searched and not present(action, "sources")


def _lacks_image(item: Members) -> bool:
    return any(not present(part, "image_url") for part in _parts(item, "input_image"))


def _lacks_logprobs(item: Members) -> bool:
    """Return whether an output text has no log probabilities; without a
    request for them the list is empty.
    """
    texts = [part for part in _parts(item, "output_text") if text_of(part, "text")]
    return any(not parts_of(part, "logprobs") for part in texts)


def _parts(item: Members, kind: str) -> list[Members]:
    parts = map(members_of, parts_of(item, "content"))
    return [part for part in parts if text_of(part, "type") == kind]


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
