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
    as_fields,
    as_list,
    as_name,
    describe_base64,
    extract_error,
    extract_result,
    extract_text,
    format_compact,
    format_size,
    format_unknown,
    join_lines,
)

CALL, RESULT, ERROR, REASONING = "tool call", "tool result", "tool error", "reasoning"
CITATIONS = "citations"
_WITHOUT = frozenset({"id", "type", "status", "encrypted_content", "object", "fingerprint"})


class LabelledTurn(NamedTuple):
    """Who or what speaks, and the text.

    `source` is a role, `tool call`, `tool result`, `tool error`, `reasoning` or the kind of item.
    `title` stands for it in the label where that says more, and `name` behind it. Who sends an item
    back may leave out what is `aside`. `call` is the id of the call in a message of several.
    """

    source: str
    text: str
    name: str = ""
    title: str = ""
    aside: bool = False
    call: str = ""

    @property
    def label(self) -> str:
        """Return what stands above the text."""
        return f"{self.title or self.source} {self.name}".rstrip()


def read_function_call(call: Fields, call_id: str = "") -> Iterator[LabelledTurn]:
    """Return the turns of a call by name, with its result where the server has added that."""
    arguments = call.get("arguments", call.get("input"))
    place = as_name(call.get("namespace") or call.get("server_label"))
    name = as_name(call.get("name")) or "(unnamed)"
    name = f"{place}.{name}" if place else name
    yield LabelledTurn(CALL, extract_text(arguments), name, call=call_id)
    if call.get("output") is not None:
        yield LabelledTurn(RESULT, extract_result(call["output"]))
    if call.get("error"):
        yield LabelledTurn(ERROR, extract_error(call["error"]))


def read_reasoning(item: Fields) -> Iterator[LabelledTurn]:
    """Return the summary of a reasoning item, and its text where it has one."""
    parts = dict.fromkeys((extract_text(item.get("summary")), extract_text(item.get("content"))))
    if text := join_lines(parts):
        yield LabelledTurn(REASONING, text)


def read_item_turns(kind: str, item: Fields) -> Iterable[LabelledTurn]:
    """Return the turns of an item that is no message."""
    known = KINDS.get(kind)
    if known is not None:
        return known(item)
    if kind.endswith("_output"):
        return _read_result(item)
    return [LabelledTurn(kind.replace("_", " "), format_unknown(item, _WITHOUT))]


def _make_call(
    title: str, text: str, *more: LabelledTurn, name: str = ""
) -> Iterator[LabelledTurn]:
    yield LabelledTurn(CALL, text, name, title)
    yield from (turn for turn in more if turn.text)


def _read_result(item: Fields) -> Iterator[LabelledTurn]:
    yield LabelledTurn(RESULT, extract_result(item.get("output")))


def _read_web_search(item: Fields) -> Iterator[LabelledTurn]:
    action = as_fields(item.get("action"))
    queries = [action.get("query"), *as_list(action.get("queries")), action.get("pattern")]
    lines = [
        *queries,
        action.get("url"),
        *(_find_url(one) for one in as_list(action.get("sources"))),
    ]
    texts = dict.fromkeys(line for line in lines if isinstance(line, str))
    results = (_format_search_result(one) for one in as_list(item.get("results")))
    return _make_call(
        "web search call", join_lines(texts), LabelledTurn(RESULT, join_lines(results))
    )


def _read_file_search(item: Fields) -> Iterator[LabelledTurn]:
    queries = join_lines(extract_text(query) for query in as_list(item.get("queries")))
    results = (_format_search_result(one) for one in as_list(item.get("results")))
    return _make_call("file search call", queries, LabelledTurn(RESULT, join_lines(results)))


def _find_url(source: object) -> object:
    fields = as_fields(source)
    return fields.get("url") or fields.get("name")


def _format_search_result(result: object) -> str:
    fields = as_fields(result)
    head = [fields.get(name) for name in ("filename", "title", "url")]
    texts = [extract_text(fields.get(name)) for name in ("text", "snippet", "content")]
    return join_lines([*(name for name in head if isinstance(name, str)), *texts])


def _read_computer(item: Fields) -> Iterator[LabelledTurn]:
    actions = [item.get("action"), *as_list(item.get("actions"))]
    checks = as_list(item.get("pending_safety_checks"))
    lines = [
        *map(_format_computer_action, actions),
        *(_format_safety_check(check) for check in checks),
    ]
    return _make_call("computer call", join_lines(lines))


def _format_computer_action(action: object) -> str:
    fields = as_fields(action)
    words = [as_name(fields.get("type")), as_name(fields.get("text"))]
    rest = (
        f"{name}={_format_argument(value)}" for name, value in fields.items() if name not in _ACTION
    )
    return " ".join(filter(None, (*words, *rest)))


def _format_argument(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "+".join(value)
    return value if isinstance(value, str) else format_compact(value)


_ACTION = ("type", "text")


def _format_safety_check(check: object) -> str:
    fields = as_fields(check)
    words = filter(None, (as_name(fields.get("code")), as_name(fields.get("message"))))
    return f"safety check: {': '.join(words)}"


def _read_code_interpreter(item: Fields) -> Iterator[LabelledTurn]:
    outputs = extract_text(as_list(item.get("outputs")))
    return _make_call(
        "code interpreter call", extract_text(item.get("code")), LabelledTurn(RESULT, outputs)
    )


def _read_image_generation(item: Fields) -> Iterator[LabelledTurn]:
    result = item.get("result")
    facts = [as_name(item.get(name)) for name in ("output_format", "size", "quality")]
    if isinstance(result, str) and result:
        facts.insert(0, describe_base64(result))
    image = f"[image {', '.join(filter(None, facts))}]" if any(facts) else ""
    error = (
        LabelledTurn(ERROR, extract_error(item["error"]))
        if item.get("error")
        else LabelledTurn(ERROR, "")
    )
    prompt = extract_text(item.get("revised_prompt") or item.get("prompt"))
    return _make_call("image generation call", join_lines((prompt, image)), error)


def _read_local_shell(item: Fields) -> Iterator[LabelledTurn]:
    action = as_fields(item.get("action"))
    place = as_name(action.get("working_directory"))
    return _make_call(
        "local shell call",
        join_lines((_format_command(action.get("command")), place and f"in {place}")),
    )


def _read_shell(item: Fields) -> Iterator[LabelledTurn]:
    action = as_fields(item.get("action"))
    commands = action.get("commands", action.get("command"))
    return _make_call(
        "shell call", join_lines(map(_format_command, commands)) if _is_list(commands) else ""
    )


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _format_command(command: object) -> str:
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        return extract_text(shlex.join(command))
    return extract_text(command)


def _read_shell_output(item: Fields) -> Iterator[LabelledTurn]:
    output = item.get("output")
    if isinstance(output, list):
        yield LabelledTurn(RESULT, join_lines(map(_format_shell_chunk, output)))
    else:
        yield from _read_result(item)


def _format_shell_chunk(chunk: object) -> str:
    fields = as_fields(chunk)
    if not ("stdout" in fields or "stderr" in fields or "outcome" in fields):
        return extract_text([chunk])
    outcome = as_fields(fields.get("outcome"))
    code = outcome.get("exit_code")
    end = f"(exit code {code})" if code else ""
    end = "(timed out)" if outcome.get("type") == "timeout" else end
    return join_lines((extract_text(fields.get("stdout")), extract_text(fields.get("stderr")), end))


_OPERATIONS = {"create_file": "Add", "update_file": "Update", "delete_file": "Delete"}


def _read_apply_patch(item: Fields) -> Iterator[LabelledTurn]:
    operation = item.get("operation")
    operations = operation if isinstance(operation, list) else [operation]
    diffs = [_format_diff(as_fields(each)) for each in operations]
    return _make_call(
        "apply patch call", join_lines([*diffs, extract_text(item.get("patch", item.get("input")))])
    )


def _format_diff(operation: Fields) -> str:
    kind = as_name(operation.get("type"))
    path = as_name(operation.get("path"))
    head = f"*** {_OPERATIONS.get(kind, kind)} File: {path}" if kind or path else ""
    return join_lines((head, extract_text(operation.get("diff"))))


def _read_patch_output(item: Fields) -> Iterator[LabelledTurn]:
    status = item.get("status")
    yield LabelledTurn(
        RESULT, join_lines((extract_text(item.get("output")), f"({status})" if status else ""))
    )


def _read_program(item: Fields) -> Iterator[LabelledTurn]:
    return _make_call("program", extract_text(item.get("code")))


def _read_program_output(item: Fields) -> Iterator[LabelledTurn]:
    yield LabelledTurn(RESULT, extract_result(item.get("result", item.get("output"))))


def _read_tool_search(item: Fields) -> Iterator[LabelledTurn]:
    return _make_call("tool search call", extract_text(item.get("arguments")))


def _read_tool_search_output(item: Fields) -> Iterator[LabelledTurn]:
    yield LabelledTurn(RESULT, _format_tools(item.get("tools")), title="tool search output")


def _read_additional_tools(item: Fields) -> Iterator[LabelledTurn]:
    yield LabelledTurn("additional tools", _format_tools(item.get("tools")))


def _read_mcp_tools(item: Fields) -> Iterator[LabelledTurn]:
    server = as_name(item.get("server_label"))
    yield LabelledTurn("mcp list tools", _format_tools(item.get("tools")), server)
    if item.get("error"):
        yield LabelledTurn(ERROR, extract_error(item["error"]))


def _format_tools(tools: object) -> str:
    return join_lines(_format_tool(as_fields(tool)) for tool in as_list(tools))


def _format_tool(tool: Fields, before: str = "") -> str:
    inner = as_fields(tool.get("function")) or tool
    name = as_name(inner.get("name") or inner.get("server_label")) or as_name(tool.get("type"))
    words = extract_text(inner.get("description") or inner.get("server_description"))
    nested = (_format_tool(as_fields(each), f"{name}.") for each in as_list(tool.get("tools")))
    return join_lines((f"{before}{name}: {words}" if words else f"{before}{name}", *nested))


def _read_approval_request(item: Fields) -> Iterator[LabelledTurn]:
    for turn in read_function_call(item):
        yield turn._replace(title="mcp approval request")


def _read_approval_response(item: Fields) -> Iterator[LabelledTurn]:
    approved = "approved" if item.get("approve") else "denied"
    reason = extract_text(item.get("reason"))
    yield LabelledTurn("mcp approval response", ": ".join(filter(None, (approved, reason))))


def _read_multi_agent(item: Fields) -> Iterator[LabelledTurn]:
    name = as_name(item.get("action"))
    return _make_call("multi agent call", extract_text(item.get("arguments")), name=name)


def _read_agent_message(item: Fields) -> Iterator[LabelledTurn]:
    ends = (as_name(item.get("author")), as_name(item.get("recipient")))
    yield LabelledTurn(
        "agent message", extract_text(item.get("content")), " to ".join(filter(None, ends))
    )


def _read_compaction(item: Fields) -> Iterator[LabelledTurn]:
    content = item.get("encrypted_content")
    size = f"(encrypted, {format_size(len(content))})" if isinstance(content, str) else ""
    yield LabelledTurn(
        "compaction", join_lines((extract_text(item.get("summary")), size)) or "(compacted)"
    )


def _read_compaction_trigger(_: Fields) -> Iterator[LabelledTurn]:
    yield LabelledTurn("compaction trigger", "(the conversation is to be compacted)")


def _read_reference(item: Fields) -> Iterator[LabelledTurn]:
    yield LabelledTurn("item reference", extract_text(item.get("id")))


TurnReader: TypeAlias = Callable[[Fields], Iterable[LabelledTurn]]
KINDS: dict[str, TurnReader] = {
    "additional_tools": _read_additional_tools,
    "agent_message": _read_agent_message,
    "apply_patch_call": _read_apply_patch,
    "apply_patch_call_output": _read_patch_output,
    "code_interpreter_call": _read_code_interpreter,
    "compaction": _read_compaction,
    "compaction_summary": _read_compaction,
    "compaction_trigger": _read_compaction_trigger,
    "computer_call": _read_computer,
    "custom_tool_call": read_function_call,
    "file_search_call": _read_file_search,
    "function_call": read_function_call,
    "image_generation_call": _read_image_generation,
    "item_reference": _read_reference,
    "local_shell_call": _read_local_shell,
    "local_shell_call_output": _read_shell_output,
    "mcp_approval_request": _read_approval_request,
    "mcp_approval_response": _read_approval_response,
    "mcp_call": read_function_call,
    "mcp_list_tools": _read_mcp_tools,
    "multi_agent_call": _read_multi_agent,
    "program": _read_program,
    "program_output": _read_program_output,
    "reasoning": read_reasoning,
    "shell_call": _read_shell,
    "shell_call_output": _read_shell_output,
    "tool_search_call": _read_tool_search,
    "tool_search_output": _read_tool_search_output,
    "web_search_call": _read_web_search,
}
FROM_MODEL = frozenset(
    {"reasoning", "compaction", "compaction_summary", "program", "mcp_list_tools"}
    | {"mcp_approval_request"}
)
"""Kinds that come from the model's side, beside messages of the assistant and `*_call`."""
