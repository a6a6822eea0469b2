"""An item of every kind that the API knows, what people are to see of it, and a word to find."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any, NamedTuple


class Case(NamedTuple):
    """An item, the lines that people see of it, and a word by which the search finds it."""

    item: dict[str, Any]
    shown: tuple[str, ...]
    word: str


def png(width: int = 64, height: int = 64) -> bytes:
    """A whole PNG of noise, so that its base64 has letters of every kind."""
    rows = b"".join(b"\0" + bytes((x * y * 7) % 256 for x in range(width)) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


CODED = base64.b64encode(png()).decode()
IMAGE_URL = f"data:image/png;base64,{CODED}"
SIZE = f"{len(png()) / 1024:.1f} KiB" if len(png()) >= 1024 else f"{len(png())} B"
PICTURE = f"PNG 64x64, {SIZE}"
PDF = base64.b64encode(b"%PDF-1.7 " + bytes(range(256)) * 4).decode()
TOOLS = [{"type": "function", "name": "plant_moss", "description": "Plants some moss."}]


def message(text: str, **more: Any) -> dict[str, Any]:
    """A message of the assistant."""
    part = {"type": "output_text", "text": text, "annotations": more.pop("annotations", [])}
    return {"type": "message", "role": "assistant", "content": [part], "id": "m", **more}


OUTPUT: dict[str, Case] = {
    "message": Case(message("Moss is green."), ("--- assistant", "Moss is green."), "moss"),
    "message, commentary": Case(
        message("Looking at lichens.", phase="commentary"),
        ("--- assistant (commentary)", "Looking at lichens."),
        "lichens",
    ),
    "message, citation": Case(
        message(
            "It grows.",
            annotations=[
                {"type": "url_citation", "url": "https://fern.example/a", "title": "Ferns today"}
            ],
        ),
        ("It grows.", "--- citations", "Ferns today https://fern.example/a"),
        "ferns",
    ),
    "message, refusal": Case(
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "Not mushrooms."}],
        },
        ("(refused) Not mushrooms.",),
        "mushrooms",
    ),
    "reasoning": Case(
        {
            "type": "reasoning",
            "id": "rs",
            "summary": [{"type": "summary_text", "text": "Consider the birch."}],
            "content": [{"type": "reasoning_text", "text": "Or the alder."}],
            "encrypted_content": CODED,
        },
        ("--- reasoning", "Consider the birch.", "Or the alder."),
        "alder",
    ),
    "function_call": Case(
        {"type": "function_call", "name": "prune", "arguments": '{"tree":"rowan"}', "call_id": "c"},
        ("--- tool call prune", '{"tree":"rowan"}'),
        "rowan",
    ),
    "function_call, namespace": Case(
        {
            "type": "function_call",
            "namespace": "garden",
            "name": "water",
            "arguments": "",
            "call_id": "c",
        },
        ("--- tool call garden.water",),
        "water",
    ),
    "function_call_output": Case(
        {"type": "function_call_output", "call_id": "c", "output": "The sedge is cut."},
        ("--- tool result", "The sedge is cut."),
        "sedge",
    ),
    "function_call_output, image": Case(
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [
                {"type": "input_text", "text": "A heather."},
                {"type": "input_image", "image_url": IMAGE_URL},
            ],
        },
        ("--- tool result", f"[input_image {PICTURE}]"),
        "heather",
    ),
    "function_call_output, text with base64": Case(
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": f'{{"note":"clover","type":"image","data":"{CODED}"}}',
        },
        ("clover", "[base64, "),
        "clover",
    ),
    "custom_tool_call": Case(
        {"type": "custom_tool_call", "name": "sing", "input": "Of gorse.", "call_id": "c"},
        ("--- tool call sing", "Of gorse."),
        "gorse",
    ),
    "custom_tool_call_output": Case(
        {"type": "custom_tool_call_output", "call_id": "c", "output": "Sung of bracken."},
        ("--- tool result", "Sung of bracken."),
        "bracken",
    ),
    "web_search_call": Case(
        {
            "type": "web_search_call",
            "id": "ws",
            "action": {
                "type": "search",
                "query": "thistle height",
                "queries": ["thistle height", "thistle width"],
                "sources": [{"type": "url", "url": "https://thistle.example/"}],
            },
        },
        ("--- web search call", "thistle height", "thistle width", "https://thistle.example/"),
        "thistle",
    ),
    "web_search_call, open_page": Case(
        {"type": "web_search_call", "action": {"type": "open_page", "url": "https://reed.example"}},
        ("--- web search call", "https://reed.example"),
        "reed",
    ),
    "web_search_call, find_in_page": Case(
        {
            "type": "web_search_call",
            "action": {"type": "find_in_page", "url": "https://a.example", "pattern": "bulrush"},
        },
        ("bulrush", "https://a.example"),
        "bulrush",
    ),
    "file_search_call": Case(
        {
            "type": "file_search_call",
            "queries": ["where ivy grows"],
            "results": [{"filename": "walls.txt", "text": "On walls.", "score": 0.5}],
        },
        ("--- file search call", "where ivy grows", "walls.txt", "On walls."),
        "ivy",
    ),
    "computer_call": Case(
        {
            "type": "computer_call",
            "call_id": "c",
            "actions": [
                {"type": "click", "button": "left", "x": 4, "y": 5},
                {"type": "type", "text": "juniper"},
                {"type": "keypress", "keys": ["CTRL", "L"]},
            ],
            "pending_safety_checks": [{"id": "s", "code": "odd", "message": "Look twice."}],
        },
        ("--- computer call", "click button=left x=4 y=5", "type juniper", "keypress keys=CTRL+L")
        + ("safety check: odd: Look twice.",),
        "juniper",
    ),
    "computer_call_output": Case(
        {
            "type": "computer_call_output",
            "call_id": "c",
            "output": {"type": "computer_screenshot", "image_url": IMAGE_URL},
        },
        ("--- tool result", f"[computer_screenshot {PICTURE}]"),
        "64x64",
    ),
    "code_interpreter_call": Case(
        {
            "type": "code_interpreter_call",
            "code": "print('cowslip')",
            "container_id": "k",
            "outputs": [
                {"type": "logs", "logs": "cowslip printed"},
                {"type": "image", "url": IMAGE_URL},
            ],
        },
        ("--- code interpreter call", "print('cowslip')", "--- tool result", "cowslip printed")
        + (f"[image {PICTURE}]",),
        "printed",
    ),
    "image_generation_call": Case(
        {
            "type": "image_generation_call",
            "result": CODED,
            "revised_prompt": "A foxglove at dawn",
            "output_format": "png",
            "size": "1024x1536",
        },
        ("--- image generation call", "A foxglove at dawn", f"[image {PICTURE}, png, 1024x1536]"),
        "foxglove",
    ),
    "image_generation_call, failed": Case(
        {
            "type": "image_generation_call",
            "result": None,
            "error": {"code": "c", "type": "t", "message": "No hemlock."},
        },
        ("--- tool error", "No hemlock."),
        "hemlock",
    ),
    "local_shell_call": Case(
        {
            "type": "local_shell_call",
            "call_id": "c",
            "action": {
                "type": "exec",
                "command": ["grep", "-r", "wild plum", "."],
                "env": {},
                "working_directory": "/orchard",
            },
        },
        ("--- local shell call", "grep -r 'wild plum' .", "in /orchard"),
        "plum",
    ),
    "local_shell_call_output": Case(
        {"type": "local_shell_call_output", "id": "c", "output": "One quince."},
        ("--- tool result", "One quince."),
        "quince",
    ),
    "shell_call": Case(
        {
            "type": "shell_call",
            "call_id": "c",
            "action": {"commands": ["ls medlar", "wc -l medlar/*"], "timeout_ms": 9},
        },
        ("--- shell call", "ls medlar", "wc -l medlar/*"),
        "medlar",
    ),
    "shell_call_output": Case(
        {
            "type": "shell_call_output",
            "call_id": "c",
            "output": [
                {
                    "stdout": "a damson",
                    "stderr": "no sloe",
                    "outcome": {"type": "exit", "exit_code": 2},
                },
                {"stdout": "", "stderr": "", "outcome": {"type": "timeout"}},
            ],
        },
        ("--- tool result", "a damson", "no sloe", "(exit code 2)", "(timed out)"),
        "damson",
    ),
    "apply_patch_call": Case(
        {
            "type": "apply_patch_call",
            "call_id": "c",
            "operation": {
                "type": "update_file",
                "path": "src/hedge.py",
                "diff": "@@\n-hazel = 1\n+hazel = 2\n",
            },
        },
        ("--- apply patch call", "*** Update File: src/hedge.py", "-hazel = 1", "+hazel = 2"),
        "hazel",
    ),
    "apply_patch_call, delete": Case(
        {
            "type": "apply_patch_call",
            "call_id": "c",
            "operation": {"type": "delete_file", "path": "src/bramble.py"},
        },
        ("*** Delete File: src/bramble.py",),
        "bramble",
    ),
    "apply_patch_call_output": Case(
        {
            "type": "apply_patch_call_output",
            "call_id": "c",
            "status": "failed",
            "output": "No elder.",
        },
        ("--- tool result", "No elder.", "(failed)"),
        "elder",
    ),
    "mcp_call": Case(
        {
            "type": "mcp_call",
            "name": "dig",
            "server_label": "spades",
            "arguments": '{"for":"turnip"}',
            "output": "A parsnip.",
            "error": {"type": "mcp_protocol_error", "code": 1, "message": "Too deep."},
        },
        ("--- tool call spades.dig", '{"for":"turnip"}', "--- tool result", "A parsnip.")
        + ("--- tool error", "Too deep."),
        "parsnip",
    ),
    "mcp_list_tools": Case(
        {"type": "mcp_list_tools", "server_label": "spades", "tools": TOOLS, "error": "Rusty."},
        ("--- mcp list tools spades", "plant_moss: Plants some moss.", "Rusty."),
        "plant_moss",
    ),
    "mcp_approval_request": Case(
        {
            "type": "mcp_approval_request",
            "name": "burn",
            "server_label": "fire",
            "arguments": '{"what":"nettles"}',
        },
        ("--- mcp approval request fire.burn", '{"what":"nettles"}'),
        "nettles",
    ),
    "mcp_approval_response": Case(
        {
            "type": "mcp_approval_response",
            "approval_request_id": "a",
            "approve": False,
            "reason": "They feed butterflies.",
        },
        ("--- mcp approval response", "denied: They feed butterflies."),
        "butterflies",
    ),
    "program": Case(
        {"type": "program", "call_id": "c", "code": "await mow('ryegrass')", "fingerprint": "f"},
        ("--- program", "await mow('ryegrass')"),
        "ryegrass",
    ),
    "program_output": Case(
        {"type": "program_output", "call_id": "c", "result": "Mown to the fescue."},
        ("--- tool result", "Mown to the fescue."),
        "fescue",
    ),
    "tool_search_call": Case(
        {"type": "tool_search_call", "arguments": {"goal": "tools for yarrow"}, "call_id": "c"},
        ("--- tool search call", '{"goal": "tools for yarrow"}'),
        "yarrow",
    ),
    "tool_search_output": Case(
        {"type": "tool_search_output", "tools": TOOLS, "execution": "server"},
        ("--- tool search output", "plant_moss: Plants some moss."),
        "plants",
    ),
    "additional_tools": Case(
        {"type": "additional_tools", "role": "developer", "tools": TOOLS},
        ("--- additional tools", "plant_moss: Plants some moss."),
        "plant_moss",
    ),
    "compaction": Case(
        {"type": "compaction", "encrypted_content": CODED},
        ("--- compaction", "(encrypted, "),
        "compaction",
    ),
    "multi_agent_call": Case(
        {
            "type": "multi_agent_call",
            "call_id": "c",
            "action": "spawn_agent",
            "arguments": '{"task":"count the primroses"}',
        },
        ("--- multi agent call spawn_agent", "count the primroses"),
        "primroses",
    ),
    "multi_agent_call_output": Case(
        {
            "type": "multi_agent_call_output",
            "call_id": "c",
            "action": "wait_agent",
            "output": [{"type": "output_text", "text": "Nine violets."}],
        },
        ("--- tool result", "Nine violets."),
        "violets",
    ),
    "agent_message": Case(
        {
            "type": "agent_message",
            "author": "root",
            "recipient": "leaf",
            "content": [
                {"type": "input_text", "text": "Count the oxlips."},
                {"type": "encrypted_content", "encrypted_content": CODED},
            ],
        },
        ("--- agent message root to leaf", "Count the oxlips."),
        "oxlips",
    ),
    "a kind of tomorrow": Case(
        {"type": "weaving_call", "pattern": "of willow", "picture": IMAGE_URL, "deep": {"a": [1]}},
        ("--- weaving call", "of willow", f"[{PICTURE}]"),
        "willow",
    ),
}
INPUT: dict[str, Case] = {
    name: case for name, case in OUTPUT.items() if case.item["type"] != "message"
} | {
    "message": Case(
        {"role": "user", "content": "Is it a daisy?"}, ("--- user", "Is it a daisy?"), "daisy"
    ),
    "message, image": Case(
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "A campion?"},
                {"type": "input_image", "image_url": IMAGE_URL, "detail": "auto"},
            ],
        },
        ("--- user", "A campion?", f"[input_image {PICTURE}]"),
        "campion",
    ),
    "message, files": Case(
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_file", "filename": "sorrel.pdf", "file_data": PDF},
                {"type": "input_file", "file_url": "https://dock.example/d.pdf"},
                {"type": "input_audio", "input_audio": {"data": CODED[:40], "format": "wav"}},
            ],
        },
        ("[input_file sorrel.pdf, PDF, 1.0 KiB]", "[input_file https://dock.example/d.pdf]")
        + ("[input_audio ",),
        "sorrel",
    ),
    "item_reference": Case(
        {"type": "item_reference", "id": "msg_burdock"},
        ("--- item reference", "msg_burdock"),
        "msg_burdock",
    ),
    "compaction_trigger": Case(
        {"type": "compaction_trigger"}, ("--- compaction trigger",), "compaction_trigger"
    ),
    "configuration_update": Case(
        {"type": "configuration_update", "reasoning": {"effort": "tansy"}},
        ("--- configuration update", "tansy"),
        "tansy",
    ),
}
