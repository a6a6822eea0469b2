"""What `prune` was asked to remove, and of whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import msgspec

from response_store.pruning import measures
from response_store.store.records import State
from response_store.store.selection import Selection

if TYPE_CHECKING:
    from response_store.pruning.measures import Survey
    from response_store.pruning.sweep import Pruner
    from response_store.store.reading import Reader


@dataclass(frozen=True)
class PruneRule:
    """Exchanges that a selection means; or, with `max_bytes`, the oldest that are too much.

    `tenants` None: all of them.
    """

    selection: Selection
    tenants: tuple[str, ...] | None
    max_bytes: int | None = None

    def survey(self, reader: Reader) -> Survey:
        """Return what would be removed, exactly or about."""
        if self.max_bytes is not None:
            found = measures.select_excess(reader, self.max_bytes)
            if found is None:
                return measures.Survey(0, None, None, 0)
            return measures.survey_selection(reader, found[0])
        tenant = self.tenants[0] if self.tenants else None
        return measures.survey_selection(
            reader, msgspec.structs.replace(self.selection, tenant=tenant)
        )

    def apply(self, pruner: Pruner) -> None:
        """Remove it."""
        if self.max_bytes is not None:
            pruner.shrink(self.max_bytes)
        else:
            reader = pruner.database.reader
            pruner.remove(self.selection, self.tenants or measures.list_tenants(reader))


def build_rule(
    selection: Selection,
    *,
    older_than: float | None,
    max_bytes: int | None,
    tenant: str | None,
    all_tenants: bool,
    default_tenant: str,
) -> PruneRule | None:
    """Return what the options select; None where they name nothing to remove."""
    if tenant is not None and all_tenants:
        raise click.UsageError("--tenant and --all-tenants exclude each other.")
    if State.OPEN.value in selection.states:
        raise click.UsageError(
            "Exchanges that are open are still written; those of a proxy that was killed are"
            " closed when the next one starts. Prune them then."
        )
    filtered = selection != Selection() or older_than is not None
    if max_bytes is not None:
        if filtered or tenant is not None:
            raise click.UsageError(
                "--max-bytes takes the oldest exchanges of all tenants: it goes with no filter."
                " Run prune twice."
            )
        return PruneRule(Selection(), None, max_bytes)
    if not filtered:
        return None
    if older_than is not None:
        until = older_than if selection.until is None else min(older_than, selection.until)
        selection = msgspec.structs.replace(selection, until=until)
    whose = default_tenant if tenant is None else tenant
    return PruneRule(selection, None if all_tenants else (whose,))
