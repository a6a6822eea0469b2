"""JSON that nobody expects: any value in the place of any member."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([10**30, -1, 0.5, 1e300, float("nan")])
    | st.sampled_from(["", "x", "\ud83d", "\ude00", "\x00", "é", "message", "completed"])
)


def values(names: list[str], kinds: list[str]) -> st.SearchStrategy[Any]:
    """Any value whose objects have some of these members, `type` one of these kinds mostly."""
    return st.recursive(
        scalars | st.sampled_from(kinds),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names), inner, max_size=4)
        ),
        max_leaves=8,
    )


def objects(names: list[str], kinds: list[str]) -> st.SearchStrategy[bytes]:
    """The text of any such object."""
    inner = values(names, kinds)
    members = st.fixed_dictionaries({}, optional={name: inner for name in names if name != "type"})
    typed = st.tuples(st.sampled_from(kinds) | inner, members).map(
        lambda both: {"type": both[0]} | both[1]
    )
    return typed.map(lambda value: json.dumps(value).encode())
