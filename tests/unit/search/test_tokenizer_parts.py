"""Words put together into chunks, a moment at a time."""

from __future__ import annotations

import pytest

from response_store.search.tokenizer import GAP, build_chunks, normalize, split_words
from tests.harness.work import check, measure

PARAGRAPH = "getUserName says: déjà vu, 你好世界, a_b-c and 12 more.\n"
TEXTS = {
    "words": PARAGRAPH * 3000,
    "without blanks": "你好世界" * 40_000,
    "one word": "x" * 100_000,
    "base64": "see " + "Ab3dEf6hIj+/" * 20_000 + " there",
    "short": PARAGRAPH,
    "nothing": "",
}


def all_words(texts: list[str]) -> list[str]:
    """Return the words of all chunks, each once; `PHRASE` of them stand in two."""
    found: list[str] = []
    for number, chunk in enumerate(build_chunks(texts)):
        found += chunk.words[64 if number else 0 :]
    return [word for word in found if word != GAP]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["words", "without blanks", "base64", "short", "nothing"])
def test_a_long_text_has_the_words_of_its_whole(name: str) -> None:
    """Taken in pieces a text has the words that it has as a whole, in their order."""
    text = TEXTS[name]
    assert all_words([text]) == list(split_words(normalize(text)))


@pytest.mark.parametrize("name", TEXTS)
def test_others_may_run(name: str) -> None:
    """Between two chances for others to run there are a few milliseconds at most."""
    used, longest = measure(), 0.0

    def yield_if_due() -> None:
        nonlocal used, longest
        longest, used = max(longest, used()), measure()

    for _ in build_chunks([TEXTS[name]], yield_if_due):
        used = measure()
    check(longest, 0.04)  # measured: 4 ms, and 75 ms for a whole text
