"""What became of rows that were brought to a store, as people and programs read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from response_store.cli import output
from response_store.cli.source import note

if TYPE_CHECKING:
    from response_store.transfer.bringing import LoadCounts
    from response_store.transfer.tables import Table

_WORDS = {
    "sent": "sent",
    "there": "there already",
    "further": "newer there, so kept",
    "refused": "refused",
    "different": "different",
}


def write_counts(
    counts_by_table: Mapping[Table, LoadCounts], as_json: bool, **more: object
) -> None:
    """Write how many rows of each table came to what."""
    if as_json:
        listed = {table.word: _list_counts(counts) for table, counts in counts_by_table.items()}
        output.write_json({**listed, **more})
        return
    facts = [(table.word, _format_counts(counts)) for table, counts in counts_by_table.items()]
    if output.is_terminal():
        from response_store.cli.facts import print_facts  # noqa: PLC0415 (rich only here)

        print_facts(output.open_terminal(), facts)
    else:
        output.write_text("".join(f"{name}\t{value}\n" for name, value in facts))


def note_problems(counts_by_table: Mapping[Table, LoadCounts]) -> None:
    """Name the rows that did not arrive, on standard error."""
    for table, counts in counts_by_table.items():
        for problem in counts.problems:
            note(problem)
        if (more := counts.refused + counts.different - len(counts.problems)) > 0:
            note(f"and {more} more of the {table.word}")


def _list_counts(counts: LoadCounts) -> dict[str, int]:
    return {"rows": counts.rows, **{name: getattr(counts, name) for name in _WORDS}}


def _format_counts(counts: LoadCounts) -> str:
    parts = [f"{counts.rows} {'row' if counts.rows == 1 else 'rows'}"]
    listed = _list_counts(counts)
    parts += [f"{listed[name]} {words}" for name, words in _WORDS.items() if listed[name]]
    return ", ".join(parts)
