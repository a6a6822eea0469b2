"""Ids as a type of mitmproxy's commands, so that its prompt can complete them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mitmproxy import types

if TYPE_CHECKING:
    from mitmproxy.command import CommandManager

OPTIONS = "response_store.show.options"
"""The command that lists the ids to offer."""


class StoredId(str):
    """The id of a response or an exchange, or the beginning of one."""

    __slots__ = ()


class _StoredIdType(types._BaseType):  # noqa: SLF001 - all of mitmproxy's types are made of it
    typ = StoredId
    display = "id"

    def completion(self, manager: CommandManager, t: Any, s: str) -> Sequence[str]:  # noqa: ARG002
        """Return the ids that were seen last; any other may be typed as well."""
        offered: Sequence[str] = manager.call(OPTIONS)
        return offered

    def parse(self, manager: CommandManager, typ: Any, s: str) -> str:  # noqa: ARG002
        """Return any text: the store knows whether it is an id."""
        return s

    def is_valid(self, manager: CommandManager, typ: Any, val: Any) -> bool:  # noqa: ARG002
        """Return whether a value can be an id."""
        return isinstance(val, str)


types.CommandTypes.typemap[StoredId] = _StoredIdType()
