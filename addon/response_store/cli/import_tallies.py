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
    "further": "further there, so kept",
    "refused": "refused",
    "different": "different",
}


def write_tallies(tallies: Mapping[Table, LoadCounts], as_json: bool, **more: object) -> None:
    """Write how many rows of each table came to what."""
    if as_json:
        counts = {table.word: _counts(tally) for table, tally in tallies.items()}
        output.write_json({**counts, **more})
        return
    facts = [(table.word, _in_words(tally)) for table, tally in tallies.items()]
    if output.to_terminal():
        from response_store.cli.facts import print_facts  # noqa: PLC0415 (rich only here)

        print_facts(output.terminal(), facts)
    else:
        output.write_text("".join(f"{name}\t{value}\n" for name, value in facts))


def note_what_went_wrong(tallies: Mapping[Table, LoadCounts]) -> None:
    """Name the rows that did not arrive, on standard error."""
    for table, tally in tallies.items():
        for told in tally.told:
            note(told)
        if (more := tally.refused + tally.different - len(tally.told)) > 0:
            note(f"and {more} more of the {table.word}")


def _counts(tally: LoadCounts) -> dict[str, int]:
    return {"rows": tally.rows, **{name: getattr(tally, name) for name in _WORDS}}


def _in_words(tally: LoadCounts) -> str:
    parts = [f"{tally.rows} {'row' if tally.rows == 1 else 'rows'}"]
    counts = _counts(tally)
    parts += [f"{counts[name]} {words}" for name, words in _WORDS.items() if counts[name]]
    return ", ".join(parts)
