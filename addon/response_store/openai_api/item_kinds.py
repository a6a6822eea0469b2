"""Turn each kind of item that is no message into labelled turns.

Sources: the types of the openai package (`ResponseOutputItem`, `ResponseInputItem`, and their beta
forms). Items come as these define them, but also odd, partial or from other servers; a kind that
is not known is shown by its type and its members.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from response_store.openai_api.item_texts import (
    Fields,
    compact,
    compact_unknown,
    error_of,
    fields_of,
    join,
    list_of,
    name_of,
    result_of,
    text_of,
)
from response_store.openai_api.media import describe_base64, format_size

CALL, RESULT, ERROR, REASONING = "tool call", "tool result", "tool error", "reasoning"
_WITHOUT = frozenset({"id", "type", "status", "encrypted_content", "object", "fingerprint"})


class Turn(NamedTuple):
    """Who or what speaks, and the text.

    `source` is a role, `tool call`, `tool result`, `tool error`, `reasoning` or the kind of item.
    `title` stands for it in the label where that says more, and `name` behind it. Who sends an item
    back may leave out what is `aside`.
    """

    source: str
    text: str
    name: str = ""
    title: str = ""
    aside: bool = False

    @property
    def label(self) -> str:
        """Return what stands above the text."""
        return f"{self.title or self.source} {self.name}".rstrip()


def function_call(call: Fields) -> Iterator[Turn]:
    """Return the turns of a call by name, with its result where the server has added that."""
    arguments = call.get("arguments", call.get("input"))
    place = name_of(call.get("namespace") or call.get("server_label"))
    name = name_of(call.get("name")) or "(unnamed)"
    yield Turn(CALL, text_of(arguments), f"{place}.{name}" if place else name)
    if call.get("output") is not None:
        yield Turn(RESULT, result_of(call["output"]))
    if call.get("error"):
        yield Turn(ERROR, error_of(call["error"]))


def reasoning(item: Fields) -> Iterator[Turn]:
    """Return the summary of a reasoning item, and its text where it has one."""
    parts = dict.fromkeys((text_of(item.get("summary")), text_of(item.get("content"))))
    if text := join(parts):
        yield Turn(REASONING, text)


def item_turns(kind: str, item: Fields) -> Iterable[Turn]:
    """Return the turns of an item that is no message."""
    known = KINDS.get(kind)
    if known is not None:
        return known(item)
    if kind.endswith("_output"):
        return _result(item)
    return [Turn(kind.replace("_", " "), compact_unknown(item, _WITHOUT))]


def _call(title: str, text: str, *more: Turn, name: str = "") -> Iterator[Turn]:
    yield Turn(CALL, text, name, title)
    yield from (turn for turn in more if turn.text)


def _result(item: Fields) -> Iterator[Turn]:
    yield Turn(RESULT, result_of(item.get("output")))


def _web_search(item: Fields) -> Iterator[Turn]:
    action = fields_of(item.get("action"))
    queries = [action.get("query"), *list_of(action.get("queries")), action.get("pattern")]
    lines = [*queries, action.get("url"), *(_url(one) for one in list_of(action.get("sources")))]
    texts = dict.fromkeys(line for line in lines if isinstance(line, str))
    results = (_search_result(one) for one in list_of(item.get("results")))
    return _call("web search call", join(texts), Turn(RESULT, join(results)))


def _file_search(item: Fields) -> Iterator[Turn]:
    queries = join(text_of(query) for query in list_of(item.get("queries")))
    results = (_search_result(one) for one in list_of(item.get("results")))
    return _call("file search call", queries, Turn(RESULT, join(results)))


def _url(source: object) -> object:
    fields = fields_of(source)
    return fields.get("url") or fields.get("name")


def _search_result(result: object) -> str:
    fields = fields_of(result)
    head = [fields.get(name) for name in ("filename", "title", "url")]
    texts = [text_of(fields.get(name)) for name in ("text", "snippet", "content")]
    return join([*(name for name in head if isinstance(name, str)), *texts])


def _computer(item: Fields) -> Iterator[Turn]:
    actions = [item.get("action"), *list_of(item.get("actions"))]
    checks = list_of(item.get("pending_safety_checks"))
    lines = [*map(_computer_action, actions), *(_safety_check(check) for check in checks)]
    return _call("computer call", join(lines))


def _computer_action(action: object) -> str:
    fields = fields_of(action)
    words = [name_of(fields.get("type")), name_of(fields.get("text"))]
    rest = (f"{name}={_argument(value)}" for name, value in fields.items() if name not in _ACTION)
    return " ".join(filter(None, (*words, *rest)))


def _argument(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "+".join(value)
    return value if isinstance(value, str) else compact(value)


_ACTION = ("type", "text")


def _safety_check(check: object) -> str:
    fields = fields_of(check)
    words = filter(None, (name_of(fields.get("code")), name_of(fields.get("message"))))
    return f"safety check: {': '.join(words)}"


def _code_interpreter(item: Fields) -> Iterator[Turn]:
    outputs = text_of(list_of(item.get("outputs")))
    return _call("code interpreter call", text_of(item.get("code")), Turn(RESULT, outputs))


def _image_generation(item: Fields) -> Iterator[Turn]:
    result = item.get("result")
    facts = [name_of(item.get(name)) for name in ("output_format", "size", "quality")]
    if isinstance(result, str) and result:
        facts.insert(0, describe_base64(result))
    image = f"[image {', '.join(filter(None, facts))}]" if any(facts) else ""
    error = Turn(ERROR, error_of(item["error"])) if item.get("error") else Turn(ERROR, "")
    prompt = text_of(item.get("revised_prompt") or item.get("prompt"))
    return _call("image generation call", join((prompt, image)), error)


def _local_shell(item: Fields) -> Iterator[Turn]:
    action = fields_of(item.get("action"))
    place = name_of(action.get("working_directory"))
    return _call(
        "local shell call", join((_command(action.get("command")), place and f"in {place}"))
    )


def _shell(item: Fields) -> Iterator[Turn]:
    action = fields_of(item.get("action"))
    commands = action.get("commands", action.get("command"))
    return _call("shell call", join(map(_command, commands)) if _is_list(commands) else "")


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _command(command: object) -> str:
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        return text_of(shlex.join(command))
    return text_of(command)


def _shell_output(item: Fields) -> Iterator[Turn]:
    output = item.get("output")
    if isinstance(output, list):
        yield Turn(RESULT, join(map(_shell_chunk, output)))
    else:
        yield from _result(item)


def _shell_chunk(chunk: object) -> str:
    fields = fields_of(chunk)
    if not ("stdout" in fields or "stderr" in fields or "outcome" in fields):
        return text_of([chunk])
    outcome = fields_of(fields.get("outcome"))
    code = outcome.get("exit_code")
    end = f"(exit code {code})" if code else ""
    end = "(timed out)" if outcome.get("type") == "timeout" else end
    return join((text_of(fields.get("stdout")), text_of(fields.get("stderr")), end))


_OPERATIONS = {"create_file": "Add", "update_file": "Update", "delete_file": "Delete"}


def _apply_patch(item: Fields) -> Iterator[Turn]:
    operation = item.get("operation")
    operations = operation if isinstance(operation, list) else [operation]
    diffs = [_diff(fields_of(each)) for each in operations]
    return _call("apply patch call", join([*diffs, text_of(item.get("patch", item.get("input")))]))


def _diff(operation: Fields) -> str:
    kind = name_of(operation.get("type"))
    path = name_of(operation.get("path"))
    head = f"*** {_OPERATIONS.get(kind, kind)} File: {path}" if kind or path else ""
    return join((head, text_of(operation.get("diff"))))


def _patch_output(item: Fields) -> Iterator[Turn]:
    status = item.get("status")
    yield Turn(RESULT, join((text_of(item.get("output")), f"({status})" if status else "")))


def _program(item: Fields) -> Iterator[Turn]:
    return _call("program", text_of(item.get("code")))


def _program_output(item: Fields) -> Iterator[Turn]:
    yield Turn(RESULT, result_of(item.get("result", item.get("output"))))


def _tool_search(item: Fields) -> Iterator[Turn]:
    return _call("tool search call", text_of(item.get("arguments")))


def _tool_search_output(item: Fields) -> Iterator[Turn]:
    yield Turn(RESULT, _tools(item.get("tools")), title="tool search output")


def _additional_tools(item: Fields) -> Iterator[Turn]:
    yield Turn("additional tools", _tools(item.get("tools")))


def _mcp_list_tools(item: Fields) -> Iterator[Turn]:
    server = name_of(item.get("server_label"))
    yield Turn("mcp list tools", _tools(item.get("tools")), server)
    if item.get("error"):
        yield Turn(ERROR, error_of(item["error"]))


def _tools(tools: object) -> str:
    return join(_tool(fields_of(tool)) for tool in list_of(tools))


def _tool(tool: Fields, before: str = "") -> str:
    inner = fields_of(tool.get("function")) or tool
    name = name_of(inner.get("name") or inner.get("server_label")) or name_of(tool.get("type"))
    words = text_of(inner.get("description") or inner.get("server_description"))
    nested = (_tool(fields_of(each), f"{name}.") for each in list_of(tool.get("tools")))
    return join((f"{before}{name}: {words}" if words else f"{before}{name}", *nested))


def _approval_request(item: Fields) -> Iterator[Turn]:
    for turn in function_call(item):
        yield turn._replace(title="mcp approval request")


def _approval_response(item: Fields) -> Iterator[Turn]:
    approved = "approved" if item.get("approve") else "denied"
    reason = text_of(item.get("reason"))
    yield Turn("mcp approval response", ": ".join(filter(None, (approved, reason))))


def _multi_agent(item: Fields) -> Iterator[Turn]:
    name = name_of(item.get("action"))
    return _call("multi agent call", text_of(item.get("arguments")), name=name)


def _agent_message(item: Fields) -> Iterator[Turn]:
    ends = (name_of(item.get("author")), name_of(item.get("recipient")))
    yield Turn("agent message", text_of(item.get("content")), " to ".join(filter(None, ends)))


def _compaction(item: Fields) -> Iterator[Turn]:
    content = item.get("encrypted_content")
    size = f"(encrypted, {format_size(len(content))})" if isinstance(content, str) else ""
    yield Turn("compaction", join((text_of(item.get("summary")), size)) or "(compacted)")


def _compaction_trigger(_: Fields) -> Iterator[Turn]:
    yield Turn("compaction trigger", "(the conversation is to be compacted)")


def _reference(item: Fields) -> Iterator[Turn]:
    yield Turn("item reference", text_of(item.get("id")))


Kind: TypeAlias = Callable[[Fields], Iterable[Turn]]
KINDS: dict[str, Kind] = {
    "additional_tools": _additional_tools,
    "agent_message": _agent_message,
    "apply_patch_call": _apply_patch,
    "apply_patch_call_output": _patch_output,
    "code_interpreter_call": _code_interpreter,
    "compaction": _compaction,
    "compaction_summary": _compaction,
    "compaction_trigger": _compaction_trigger,
    "computer_call": _computer,
    "custom_tool_call": function_call,
    "file_search_call": _file_search,
    "function_call": function_call,
    "image_generation_call": _image_generation,
    "item_reference": _reference,
    "local_shell_call": _local_shell,
    "local_shell_call_output": _shell_output,
    "mcp_approval_request": _approval_request,
    "mcp_approval_response": _approval_response,
    "mcp_call": function_call,
    "mcp_list_tools": _mcp_list_tools,
    "multi_agent_call": _multi_agent,
    "program": _program,
    "program_output": _program_output,
    "reasoning": reasoning,
    "shell_call": _shell,
    "shell_call_output": _shell_output,
    "tool_search_call": _tool_search,
    "tool_search_output": _tool_search_output,
    "web_search_call": _web_search,
}
FROM_MODEL = frozenset(
    {"reasoning", "compaction", "compaction_summary", "program", "mcp_list_tools"}
    | {"mcp_approval_request"}
)
"""Kinds that come from the model's side, beside messages of the assistant and `*_call`."""
