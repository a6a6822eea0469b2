"""Select exchanges by tenant, session, label, agent, model, state, host, client and time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from response_store.model.records import State

HOST_PORT = """CASE
    WHEN port IS NULL OR port = CASE scheme WHEN 'http' THEN 80 WHEN 'https' THEN 443 END THEN host
    WHEN replace(host, ':', '') = host THEN host || ':' || CAST(port AS TEXT)
    ELSE '[' || host || ']:' || CAST(port AS TEXT) END"""
"""The server of an exchange, as SQL: with its port, unless that goes without saying."""

_WITH_PORT = re.compile(r"(\[[^]]*\]|[^:]*)(?::([0-9]{1,5}|\*))?")


class Condition(NamedTuple):
    """What stands behind WHERE, in the words of `queries/reader.py`, and the values of its `?`."""

    sql: str
    values: tuple[object, ...]


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Exchanges that pass every filter; a filter that is not set passes all.

    `models`, `hosts` and `clients` are names in which `*` stands for anything; letters of either
    case are alike. A model is the one that answered or the one that was asked for, with a date
    behind its name or not; a client is the product that `user-agent` names first. A host may be
    followed by a port, as in a URL; without one it stands for all of them.
    `since` and `until` are Unix seconds of the start; `until` itself is out. `ended` leaves out
    what is still open.

    `sessions` and `exchange_ids` are whole ids, and what one of the two names passes: an exchange
    without a session is one of its own. A label is what it says, in its very letters, or has `*` in
    it; an agent is a name as a model is. `recorder_ids` are whole ids as well.
    """

    tenant: str | None = None
    sessions: tuple[str, ...] = ()
    exchange_ids: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    recorder_ids: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    ended: bool = False

    @property
    def is_narrow(self) -> bool:
        """Return whether an index other than that of tenants and times finds the exchanges."""
        return bool(self.sessions or self.exchange_ids or self.labels)

    def condition(self, *, state: str = "state") -> Condition:
        """Return the filters as SQL; always true where there are none.

        `state` is the expression for the state of a row.
        """
        parts = list(self._parts(state))
        sql = " AND ".join(part.sql for part in parts) or "1 = 1"
        return Condition(sql, tuple(value for part in parts for value in part.values))

    def _parts(self, state: str) -> Iterator[Condition]:
        if self.tenant is not None:
            # `|| ''` keeps planners from the index of tenants, which would walk all rows.
            column = "tenant_id || ''" if self.is_narrow else "tenant_id"
            yield Condition(f"{column} = ?", (self.tenant,))
        if self.since is not None:
            yield Condition("started_at >= ?", (self.since,))
        if self.until is not None:
            yield Condition("started_at < ?", (self.until,))
        if self.states:
            places = ", ".join("?" * len(self.states))
            yield Condition(f"{state} IN ({places})", self.states)
        if self.ended:
            yield Condition("state <> ?", (State.OPEN.value,))
        if self.models:
            yield _match_models(self.models)
        if self.hosts:
            yield _match_hosts(self.hosts)
        if self.clients:
            yield _match_names("{client}", self.clients)
        yield from self._parts_of_sessions()

    def _parts_of_sessions(self) -> Iterator[Condition]:
        if self.sessions or self.exchange_ids:
            yield _match_ids({"session_id": self.sessions, "exchange_id": self.exchange_ids})
        if self.labels:
            yield _match_labels(self.labels)
        if self.recorder_ids:
            yield _match_ids({"recorder_id": self.recorder_ids})
        if self.agents:
            yield _match_names("agent", self.agents)


_DATED = "%_-____-__-__"
"""The LIKE pattern of names that may end in a date."""


def _match_models(models: Sequence[str]) -> Condition:
    """Return the condition that either name of a model is one of these, dated or not."""
    parts, values = [], list[object]()
    for column in ("model", "requested_model"):
        name = _match_names(column, models)
        # The shape of a date is seen sooner than the date is taken off.
        undated = _match_names(f"{{undated[{column}]}}", models)
        parts.append(f"{name.sql} OR ({column} LIKE ? AND {undated.sql})")
        values += [*name.values, _DATED, *undated.values]
    return Condition(f"({' OR '.join(parts)})", tuple(values))


def _match_ids(ids_by_column: Mapping[str, tuple[str, ...]]) -> Condition:
    parts = [
        f"{column} IN ({', '.join('?' * len(ids))})" for column, ids in ids_by_column.items() if ids
    ]
    values = tuple(value for ids in ids_by_column.values() for value in ids)
    return Condition(f"({' OR '.join(parts)})", values)


def _match_labels(labels: Sequence[str]) -> Condition:
    """Return the condition of labels; one without `*` is looked up in their index."""
    parts = [
        _match_names("label", (label,)) if "*" in label else Condition("label = ?", (label,))
        for label in labels
    ]
    values = tuple(value for part in parts for value in part.values)
    return Condition(f"(label IS NOT NULL AND ({' OR '.join(part.sql for part in parts)}))", values)


def _match_names(column: str, names: Sequence[str]) -> Condition:
    # Only a database knows which letters it has two cases of.
    one = f"lower({column}) LIKE lower(?) ESCAPE '!'"
    sql = " OR ".join([one] * len(names))
    return Condition(f"({sql})", tuple(_build_pattern(name) for name in names))


def _match_hosts(names: Sequence[str]) -> Condition:
    parts = [_match_host(name) for name in names]
    values = tuple(value for part in parts for value in part.values)
    return Condition(f"({' OR '.join(part.sql for part in parts)})", values)


def _match_host(name: str) -> Condition:
    """Return the condition of a host with or without a port; one of IPv6 may stand in brackets."""
    split = _WITH_PORT.fullmatch(name)
    host, port = split.groups() if split else (name, None)
    named = _match_names("host", (host.removeprefix("[").removesuffix("]"),))
    if port is None or port == "*":
        return named
    return Condition(f"({named.sql} AND port = ?)", (*named.values, int(port)))


def _build_pattern(name: str) -> str:
    """Return the LIKE pattern of a name in which `*` stands for anything; `!` escapes wildcards."""
    for special in "!%_":
        name = name.replace(special, f"!{special}")
    return name.replace("*", "%")
