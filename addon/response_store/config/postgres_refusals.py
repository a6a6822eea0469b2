"""Parameters that URLs come with and that are not allowed here: each by its name, with its fix.

Names of libpq, of hosters and of other drivers. A name that is not among them is never shown:
what is misplaced there may be a piece of a password.
"""

from __future__ import annotations

import re

from .problems import Problem

_ROLE = "Take it out. For the role of this URL, once, as SQL: ALTER ROLE name SET setting = value"
_SEARCH_PATH = (
    "Take it out, and say it once to the server, as SQL: ALTER ROLE name SET search_path = schema"
)
_POOL = "Take it out: pool.max_connections and its neighbours in the configuration say it."
_PREPARED = "Take it out: poolers in transaction mode work without it."
_TIMES = "Take it out: connect_timeout is the one that a URL may have."
_ANYWAY = "Take it out: nothing here depends on it."
_SERVICE = "Take it out, and write host, user and database themselves."

_KINDS = {
    "it is Prisma's": (
        "connection_limit pool_timeout socket_timeout statement_cache_size sslidentity sslaccept"
        " single_use_connections"
    ),
    "it is for a driver of Node": "uselibpqcompat max idleTimeoutMillis query_timeout",
    "it is for a driver of Go": (
        "pool_max_conns pool_min_conns pool_max_conn_lifetime pool_max_conn_idle_time"
        " pool_health_check_period pool_max_conn_lifetime_jitter default_query_exec_mode"
        " statement_cache_capacity description_cache_capacity binary_parameters"
    ),
    "it is for a driver of Java": (
        "ApplicationName prepareThreshold reWriteBatchedInserts loginTimeout socketTimeout"
        " targetServerType stringtype sslfactory tcpKeepAlive"
    ),
    "it is for a driver of Python": (
        "prepared_statement_cache_size prepared_statement_name_func command_timeout"
        " conn_max_age conn_health_checks async_fallback"
    ),
    "it is for Rails": "pool reaping_frequency prepared_statements variables encoding timeout",
    "it is for a pooler": "pgbouncer supa workaround pool_mode pooler",
    "it is a setting of the server, not of a connection": (
        "search_path currentSchema schema statement_timeout lock_timeout TimeZone timezone role"
        " idle_in_transaction_session_timeout work_mem datestyle default_transaction_isolation"
    ),
    "it is for YugabyteDB": "load_balance topology_keys yb_servers_refresh_interval",
    "it could change what was checked": (
        "service servicefile passfile options sslkeylogfile requirepeer replication"
    ),
    "it is libpq's, and set already": (
        "channel_binding gssencmode sslnegotiation sslsni sslcompression client_encoding"
        " ssl_min_protocol_version ssl_max_protocol_version load_balance_hosts sslcertmode"
        " sslcrl sslcrldir sslpassword krbsrvname gsslib gssdelegation require_auth require_oauth"
        " min_protocol_version max_protocol_version fallback_application_name authtype tty"
        " scram_client_key scram_server_key oauth_issuer oauth_client_id oauth_client_secret"
        " oauth_scope"
    ),
}
_WHY = {name: why for why, names in _KINDS.items() for name in names.split()}
_FIXES = {
    "connection_limit": _POOL,
    "pool": _POOL,
    "max": _POOL,
    "pool_max_conns": _POOL,
    "pool_min_conns": _POOL,
    "pool_timeout": _POOL,
    "ApplicationName": "Write application_name.",
    "targetServerType": "Write target_session_attrs=read-write.",
    "schema": _SEARCH_PATH,
    "currentSchema": _SEARCH_PATH,
    "search_path": _SEARCH_PATH,
    "service": _SERVICE,
    "servicefile": _SERVICE,
    "passfile": "Take it out, and write the password into the URL or RESPONSE_STORE_DATABASE_URL.",
}
_FIX_BY_WHY = {
    "it is a setting of the server, not of a connection": _ROLE,
    "it is for a pooler": _PREPARED,
}
_TIMEOUT = re.compile(r"timeout|_age|lifetime", re.IGNORECASE)
_PREPARES = re.compile(r"prepare|statement", re.IGNORECASE)


def find_refusal(name: str, value: str) -> Problem | None:
    """Return why a parameter of a known name is refused, and the fix; None for other names."""
    why = _WHY.get(name)
    if why is None:
        return None
    fix = _choose_options_fix(value) if name == "options" else _choose_fix(name, why)
    return Problem(f"the parameter {name} is not allowed: {why}", fix)


def _choose_fix(name: str, why: str) -> str:
    if name in _FIXES or why in _FIX_BY_WHY:
        return _FIXES.get(name) or _FIX_BY_WHY[why]
    if _PREPARES.search(name):
        return _PREPARED
    return _TIMES if _TIMEOUT.search(name) else _ANYWAY


def _choose_options_fix(value: str) -> str:
    """Return what to do instead of `options`, by what hosters write there."""
    if "endpoint" in value or "project" in value or "--cluster" in value:
        return (
            "Take it out: the server's name is sent with TLS (SNI), by which the hoster finds"
            " the database."
        )
    return _SEARCH_PATH if "search_path" in value else _ROLE
