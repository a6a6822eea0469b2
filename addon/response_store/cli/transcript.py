"""A thread as one conversation: of each response what is new, and nothing twice.

Some clients send the whole conversation again with every request. What stands in an input before
the last item that the model has said in this thread is history: of that, only what has not been
shown yet is new. Behind it a text may be said twice, as people do say "go on" twice; but what was
asked and has got no answer yet (of a warm-up, or of a request that failed) is not asked anew by
being repeated, and a call or the result of a call is one thing wherever it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from response_store.openai_api.item_kinds import LabelledTurn
from response_store.openai_api.items import TurnItem, join_turns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from response_store.telling.shown import Exchanged


class Transcript:
    """What has been shown of a thread so far."""

    def __init__(self) -> None:
        self._instructions = ""
        self._shown: set[TurnItem] = set()
        self._said: set[TurnItem] = set()  # by the model
        self._unanswered: list[TurnItem] = []
        self._named: dict[str, TurnItem] = {}

    def add(self, exchanged: Exchanged) -> list[LabelledTurn]:
        """Return the turns of the next response that are new."""
        inputs = [self._meant(item) for item in exchanged.inputs]
        fresh = self._fresh([item for item in inputs if item.turns])
        outputs = [item for item in exchanged.answered if item.turns]
        self._remember(fresh, outputs)
        return [*self._instructed(exchanged.instructions), *join_turns([*fresh, *outputs])]

    def _instructed(self, instructions: str) -> list[LabelledTurn]:
        """Return the turn of instructions that are new; each request repeats the old ones."""
        if not instructions or instructions == self._instructions:
            return []
        self._instructions = instructions
        return [LabelledTurn("instructions", instructions)]

    def _meant(self, item: TurnItem) -> TurnItem:
        return self._named.get(item.identifier or "", item) if item.refers else item

    def _fresh(self, inputs: list[TurnItem]) -> list[TurnItem]:
        behind = 1 + max((at for at, item in enumerate(inputs) if item in self._said), default=-1)
        history, rest = inputs[:behind], inputs[behind:]
        repeated = len(self._unanswered)
        if rest[:repeated] == self._unanswered:
            rest = rest[repeated:]
        return [
            *(item for item in history if item not in self._shown),
            *(item for item in rest if item.call is None or item not in self._shown),
        ]

    def _remember(self, inputs: list[TurnItem], outputs: Iterable[TurnItem]) -> None:
        outputs = [*outputs]
        self._said.update(outputs)
        self._shown.update(inputs, outputs)
        self._unanswered = [] if outputs else [*self._unanswered, *inputs]
        for item in (*inputs, *outputs):
            if item.identifier:
                self._named[item.identifier] = item
