"""Name the tables, and all that is named after them, as both databases take names.

praxis-proxy/ai does not quote names, so a reserved word breaks its statements on a shared table.
SQLite: the keywords that it refuses as a table's name (found by trying all of them). PostgreSQL:
the words that `pg_get_keywords()` calls reserved (R and T).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TypeAlias

from response_store.config.problems import Problem

RESERVED_WORDS = frozenset(
    """
    add all alter analyse analyze and any array as asc asymmetric authorization autoincrement
    between binary both case cast check collate collation column commit concurrently constraint
    create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user default deferrable delete desc distinct do drop else end escape
    except exists false fetch for foreign freeze from full grant group having if ilike in index
    initially inner insert intersect into is isnull join lateral leading left like limit localtime
    localtimestamp natural not nothing notnull null offset on only or order outer overlaps placing
    primary references returning right select session_user set similar some symmetric
    system_user table tablesample then to trailing transaction true union unique update user using
    values variadic verbose when where window with
    """.split()
)

MAX_NAME = 128

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ALLOWED = "Use ASCII letters, digits and underscores, with a letter or an underscore first."


@dataclass(frozen=True, slots=True)
class TableNames:
    """Checked names: whoever holds one of these may put them into SQL.

    Raises ValueError where `find_name_problems` or `find_collisions` finds anything.
    """

    responses: str
    conversations: str
    exchanges: str

    def __post_init__(self) -> None:
        names = (self.responses, self.conversations, self.exchanges)
        if any(problem for name in names for problem in find_name_problems(name)):
            raise ValueError("a table's name breaks a rule")
        if any(find_collisions(*names)):
            raise ValueError("two names collide")

    @property
    def responses_version(self) -> str:
        return f"{self.responses}_schema_version"

    @property
    def exchanges_version(self) -> str:
        return f"{self.exchanges}_schema_version"

    @property
    def conversations_tenant_index(self) -> str:
        return f"idx_{self.conversations}_tenant_id"

    @property
    def exchanges_started_index(self) -> str:
        return f"idx_{self.exchanges}_started_at"

    @property
    def exchanges_response_index(self) -> str:
        return f"idx_{self.exchanges}_response_id"

    @property
    def exchanges_previous_index(self) -> str:
        return f"idx_{self.exchanges}_previous_response_id"

    @property
    def exchanges_conversation_index(self) -> str:
        return f"idx_{self.exchanges}_conversation_id"

    @property
    def exchanges_state_index(self) -> str:
        return f"idx_{self.exchanges}_state"

    @property
    def exchanges_session_index(self) -> str:
        return f"idx_{self.exchanges}_session_id"

    @property
    def exchanges_label_index(self) -> str:
        return f"idx_{self.exchanges}_label"

    @property
    def exchanges_context_index(self) -> str:
        return f"idx_{self.exchanges}_context_digest"

    @property
    def exchanges_answer_index(self) -> str:
        return f"idx_{self.exchanges}_answer_digest"

    @property
    def exchanges_base_index(self) -> str:
        return f"idx_{self.exchanges}_base"

    @property
    def exchanges_journals(self) -> str:
        return f"{self.exchanges}_journals"

    @property
    def exchanges_leases(self) -> str:
        return f"{self.exchanges}_leases"

    @property
    def exchanges_search(self) -> str:
        return f"{self.exchanges}_search"

    @property
    def exchanges_search_words(self) -> str:
        return f"{self.exchanges}_search_words"

    @property
    def exchanges_search_unfinished_index(self) -> str:
        return f"idx_{self.exchanges}_search_state"

    @property
    def exchanges_search_words_index(self) -> str:
        return f"idx_{self.exchanges}_search_words"

    @property
    def exchanges_search_trigger(self) -> str:
        return f"{self.exchanges}_search_delete"

    @property
    def exchanges_search_words_trigger(self) -> str:
        return f"{self.exchanges}_search_words_delete"

    @property
    def exchanges_view(self) -> str:
        return "exchanges" if self._are_default else f"{self.exchanges}_view"

    @property
    def exchanges_sessions_view(self) -> str:
        return "sessions" if self._are_default else f"{self.exchanges}_sessions"

    @property
    def _are_default(self) -> bool:
        return self.exchanges.lower() == "openai_exchanges"

    def by_placeholder(self) -> dict[str, str]:
        """Return every name by the placeholder that stands for it in the SQL files."""
        own = [field.name for field in fields(self)]
        derived = [name for name, value in vars(type(self)).items() if isinstance(value, property)]
        named = {name: getattr(self, name) for name in own + derived}
        return {key: name for key, name in named.items() if isinstance(name, str)}


def find_name_problems(name: str) -> Iterator[Problem]:
    """Yield what is wrong with one name by itself."""
    if not name:
        yield Problem("the name is empty", _ALLOWED)
    elif not _NAME.match(name):
        yield Problem("the name is invalid: it must start with a letter or an underscore", _ALLOWED)
    elif not _NAME.fullmatch(name):
        yield Problem("the name has invalid characters", _ALLOWED)
    elif len(name) > MAX_NAME:
        yield Problem(f"the name exceeds {MAX_NAME} characters", "Take a shorter one.")
    elif name.lower() in RESERVED_WORDS:
        yield Problem("the name is a reserved word of SQLite or PostgreSQL", "Add a prefix.")
    elif name.lower().startswith(("sqlite_", "pg_")):
        yield Problem(
            "the name starts with sqlite_ or pg_, which the databases keep reserved",
            "Take another prefix.",
        )


# The key of the configuration that a name comes from, and what the name is of.
_Named: TypeAlias = tuple[str, str]


def find_collisions(
    responses: str, conversations: str, exchanges: str
) -> Iterator[tuple[str, Problem]]:
    """Yield what clashes between the three tables and all that is named after them, with the key.

    Tables and indexes share one space of names; letter case makes no difference. A PostgreSQL
    primary key is an index named after its table, and the rules are the same for both databases,
    so that one can be copied to the other.
    """
    taken: dict[str, _Named] = {}
    reported = set()
    for key, what, name in _list_names(responses, conversations, exchanges):
        holder_key, holder = taken.setdefault(name.lower(), (key, what))
        # Where two tables clash, what is named after them does as well: once is enough.
        if (holder_key, holder) == (key, what) or (holder_key, key) in reported:
            continue
        reported.add((holder_key, key))
        if holder == what == "table":
            yield key, Problem(f"the name is the same as {holder_key}", _DISTINCT)
        else:
            clash = f"its {what} and the {holder} of {holder_key} have one name: they collide"
            yield key, Problem(clash, "Rename one of the two tables.")


_DISTINCT = "Give each table a distinct name; letter case makes no difference."


def _list_names(
    responses: str, conversations: str, exchanges: str
) -> Iterator[tuple[str, str, str]]:
    tables = {
        "responses_table": responses,
        "conversations_table": conversations,
        "exchanges_table": exchanges,
    }
    for key, table in tables.items():
        yield key, "table", table
        yield key, "primary key", f"{table}_pkey"
    for key in ("responses_table", "exchanges_table"):
        version = f"{tables[key]}_schema_version"
        yield key, "version table", version
        yield key, "version table's primary key", f"{version}_pkey"
    yield "conversations_table", "tenant_id index", f"idx_{conversations}_tenant_id"
    for column in (
        "started_at", "response_id", "previous_response_id", "conversation_id", "state",
        "session_id", "label", "context_digest", "answer_digest", "base",
    ):  # fmt: skip
        yield "exchanges_table", f"{column} index", f"idx_{exchanges}_{column}"
    for what in ("journals", "search", "search_words"):
        yield "exchanges_table", f"{what} table", f"{exchanges}_{what}"
        yield "exchanges_table", f"{what} table's primary key", f"{exchanges}_{what}_pkey"
    for what in ("search", "search_words"):
        yield "exchanges_table", f"{what} table's trigger", f"{exchanges}_{what}_delete"
    for what in ("search_state", "search_words"):
        yield "exchanges_table", f"{what} index", f"idx_{exchanges}_{what}"
    # SQLite keeps a full-text table in tables of these names.
    for what in ("data", "idx", "content", "docsize", "config"):
        yield "exchanges_table", f"search_words {what} table", f"{exchanges}_search_words_{what}"


MAX_NAME_LENGTH = 63  # NAMEDATALEN - 1; checked names are ASCII

_TABLES = ("responses", "conversations", "exchanges")


def find_long_names(names: TableNames) -> Iterator[tuple[str, Problem]]:
    """Yield the tables whose name, or one derived from it, is too long."""
    named = names.by_placeholder()
    for table in _TABLES:
        own = len(named[table])
        max_length = max(len(name) for key, name in named.items() if key.startswith(table))
        if max_length > MAX_NAME_LENGTH:
            limit = MAX_NAME_LENGTH - (max_length - own)
            rule = (
                f"the name is too long: with what is named after it, it exceeds "
                f"PostgreSQL's limit of {MAX_NAME_LENGTH} bytes"
            )
            yield f"{table}_table", Problem(rule, f"Take a name of at most {limit} characters.")
