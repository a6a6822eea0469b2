"""Words that can't be a table's name without quotes, in SQLite or in PostgreSQL.

praxis-proxy/ai does not quote names, so a reserved word breaks its statements on a shared table.
SQLite: the keywords that it refuses as a table's name (found by trying all of them). PostgreSQL:
the words that `pg_get_keywords()` calls reserved (R and T).
"""

from __future__ import annotations

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
