"""The findings of a check whether a proxy could store records in a database."""

from __future__ import annotations

from dataclasses import dataclass, field

from response_store.store.schema_state import MIGRATIONS, SHARED_VERSION

PRESENT = f"present, version {SHARED_VERSION} of the shared tables, {len(MIGRATIONS)} of our own"


@dataclass(slots=True)
class Findings:
    """Facts, as names and values in order, and problems that keep a store from working there.

    Both may be shown once control characters are made visible: a server may say anything.
    """

    facts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def note(self, name: str, value: str) -> None:
        """Add a fact."""
        self.facts.append((name, value))

    def object_to(self, problem: str) -> None:
        """Add a problem: where, which rule, how to fix it."""
        self.problems.append(problem)
