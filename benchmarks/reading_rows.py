"""Exchanges to look for: of several models, hosts and days, each with words of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from benchmarks.rows import records
from response_store.model.records import Record, State

COMMON = "fox"  # in every answer
RARE = "quokka"  # in one of a thousand
EVERY = 1000
TURNS = 20  # of a session
DAYS = 90
_MODELS = ("gpt-5.2-2025-12-11", "gpt-5-mini-2025-08-07", "o4-mini", "llama3.3", "qwen3-coder")
_HOSTS = ("api.openai.com", "openrouter.ai", "localhost")
_CLIENTS = ("codex_cli_rs/0.169.0", "OpenAI/Python 3.54.0", "opencode/1.18")
_STATES = (*[State.COMPLETED] * 18, State.INTERRUPTED, State.REFUSED)
_BEGINNING = 1.764e9
_WORDS = 12


def varied(count: int, seed: int) -> Iterator[Record]:
    """Records in the order of time, with everything that the reading commands tell apart."""
    chance = random.Random(seed)
    vocabulary = ["".join(chance.choices("abcdefghijklmnop", k=7)) for _ in range(5000)]
    for number, record in enumerate(records(count, seed, text=COMMON)):
        assert record.response is not None
        rare = f"{RARE} " if number % EVERY == 0 else ""
        text = f"{rare}{COMMON} {' '.join(chance.choices(vocabulary, k=_WORDS))}"
        model = chance.choice(_MODELS)
        exchange = msgspec.structs.replace(
            record.exchange,
            started_at=_BEGINNING + number * DAYS * 86_400 / count,
            model=model,
            requested_model=model,
            host=chance.choice(_HOSTS),
            user_agent=chance.choice(_CLIENTS),
            state=chance.choice(_STATES).value,
            first_event_ms=chance.expovariate(1 / 400),
            duration_ms=chance.expovariate(1 / 4000),
            input_tokens=chance.randrange(20_000),
            output_tokens=chance.randrange(2_000),
            output_text=text,
            session_id=f"session-{number // TURNS}",
            question=f"What is {vocabulary[number % len(vocabulary)]}?",
        )
        yield Record(exchange, record.response)
