"""Sessions with subagents, forks and repeats, for what reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.unit.queries.conftest import Anywhere

BEGAN = 1767225600.0
COLUMNS = (
    "session_id", "parent_exchange_id", "agent", "label", "question", "response_id", "model",
    "requested_model", "state", "service_tier", "input_tokens", "cached_tokens", "output_tokens",
    "cache_write_tokens", "duration_ms", "request_body", "output_text", "tenant_id",
)  # fmt: skip


def turn(name: str, minute: float, session: str | None, **columns: Any) -> dict[str, Any]:
    """An exchange with every column that tests of sessions name."""
    return (
        dict.fromkeys(COLUMNS)
        | {
            "exchange_id": name,
            "started_at": BEGAN + 60 * minute,
            "session_id": session,
            "state": "completed",
            "model": "gpt-5.1",
            "tenant_id": "default",
        }
        | columns
    )


def work(stored: Anywhere) -> None:
    """A session of seven exchanges and six turns, a shorter one, and an exchange without any.

    `s-work`: a question, its tool, a subagent of two turns, a fork at the question that fails, and
    a response that came in two exchanges.
    """
    tokens = {"input_tokens": 100, "cached_tokens": 40, "output_tokens": 10}
    stored.exchanges([
        turn("w1", 0, "s-work", question="Tidy up", label="tidy-1", **tokens),
        turn("w2", 1, "s-work", parent_exchange_id="w1", question="a.txt b.txt", label="tidy-1",
             **tokens),
        turn("w3", 2, "s-work", parent_exchange_id="w2", agent="review", question="Look at b.txt",
             model="gpt-5.1-mini", label="tidy-1", input_tokens=7, output_tokens=1),
        turn("w4", 3, "s-work", parent_exchange_id="w3", agent="review", model="gpt-5.1-mini",
             label="tidy-1", service_tier="flex", input_tokens=8, output_tokens=2),
        turn("w5", 4, "s-work", parent_exchange_id="w1", state="refused", model=None,
             label="tidy-1", requested_model="gpt-5.1", question="Tidy up, but gently"),
        turn("w6", 5, "s-work", parent_exchange_id="w2", response_id="resp_6", state="interrupted",
             label="tidy-1", **tokens),
        turn("w7", 5.5, "s-work", parent_exchange_id="w2", response_id="resp_6", label="tidy-1",
             duration_ms=30_000.0, **tokens),
        turn("alone", 6, None, question="What time is it?", input_tokens=3, output_tokens=2),
        turn("o1", 3.5, "s-other", question="Other", state="open", model=None),
        turn("x1", 7, "s-work", tenant_id="another", question="Not ours"),
    ])  # fmt: skip
