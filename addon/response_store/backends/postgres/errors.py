"""Translate PostgreSQL's errors: what may pass, what must be fixed, what is one row's fault, in
the server's words.

The driver's texts are never shown: they repeat values of rows, and libpq's the connection string.
What a server says as it refuses a connection is shown (`backends/postgres/errors.py`).
Sources: the PostgreSQL manual, appendix A (SQLSTATE); libpq's `fe-connect.c` and the backend's
`auth.c` for failed connections, which carry no SQLSTATE.

libpq gives no SQLSTATE for a connection that failed, and servers write in the language that they
are set to. A server that answers is up: what it says is permanent, unless it is known to pass.
The words are those of PostgreSQL (in the languages that it is translated into), PgBouncer,
Supavisor, Neon, Azure, RDS, CockroachDB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

import psycopg

from response_store.config.secret import Secret, mask_urls
from response_store.errors import (
    PermanentStoreError,
    RowRefusedError,
    StoreError,
    TransientStoreError,
)

_MAX_LENGTH = 300
# `FATAL:  text` with the severity in the server's language; libpq's own words have one blank.
_ANSWER = re.compile(r"(?:^|: )[^\s:]{2,24}(?: [^\s:]{2,24})?:  (\S.*)", re.MULTILINE)


class ServerRefusal(NamedTuple):
    """Why a server refuses, in our words; `is_transient` where a later attempt may succeed."""

    is_transient: bool
    words: str


_LOGIN = ServerRefusal(False, "the server refuses user or password: check both, and pg_hba.conf")
_NO_DATABASE = ServerRefusal(False, "the database does not exist: make it, or name another one")
_TLS = ServerRefusal(False, "the server wants TLS: see ssl_mode")
_HBA = ServerRefusal(False, "pg_hba.conf admits no such connection: change it, or the TLS mode")
_CONNECT = ServerRefusal(
    False, "the role may not connect: GRANT CONNECT ON DATABASE name TO role, as its owner"
)
_FULL = ServerRefusal(True, "the server has no connection free")
_CLOSED = ServerRefusal(True, "the database is closed for now: it accepts no connections")
_STARTING = ServerRefusal(True, "the server starts or stops at this moment")
_OTHER = ServerRefusal(False, "the server refuses the connection")

# The first that is found counts.
_KINDS: tuple[tuple[ServerRefusal, tuple[str, ...]], ...] = (
    (
        _TLS,
        (
            r"(SSL|TLS|SSL/TLS)( connection)? (is )?required",
            r"SSL (is )?required|requires (an )?(SSL|TLS)|insecure connection",
            r"pg_hba\.conf.*(no encryption|SSL off|unverschlüsselt|keine Verschlüsselung)",
            r"pg_hba\.conf.*(aucun chiffrement|sin cifrado|暗号化なし|没有加密|no encriptada)",
            r"pg_hba\.conf.*(без шифрования|nessuna crittografia|암호화 안)",
        ),
    ),
    (_HBA, (r"pg_hba\.conf",)),
    (
        _FULL,
        (
            r"too many|max(imum)? ?clients?|max client conn|maxclients|no more connections allowed",
            r"connection slots|acquire permit|waiting to acquire|query_wait_timeout",
            r"connection limit|pool.*(timeout|exhausted)|no available connection",
            r"zu viele Verbindungen|verbleibenden Verbindungen",
            r"demasiad[oa]s (clientes|conexiones)|conexiones restantes",
            r"trop de (clients|connexions)|emplacements de connexions? restants",
            r"tropp[ie] (client|connessioni)|rimanenti slot",
            r"多すぎます|残りの接続",
            r"동시 접속|최대 접속|남은 연결",
            r"слишком много (клиентов|подключений)|оставшиеся слоты",
            r"för många|resterande anslutnings",
            r"забагато (клієнтів|підключень)|слоти підключень",
            r"太多|连接位置|连接槽",
            r"muitos clientes|muitas conexões|za dużo|çok fazla|příliš mnoho",
            r"მეტისმეტად ბევრი|ძალიან ბევრი",
        ),
    ),
    (
        _CLOSED,
        (
            r"database .* is not currently accepting connections",
            r"Datenbank .* akzeptiert gegenwärtig keine|la base de datos «.*» no acepta",
            r"base de données «.*» n'accepte plus|database \".*\" attualmente non accetta",
            r"現在データベース.*接続を受け付けません|데이터베이스는 현재 접속을 허용하지",
            r"не принимает подключения в данный момент|не приймає підключення в даний момент",
            r"tar för närvarande inte emot|当前不接受联?连?接|ამჟამად მიერთებებს",
        ),
    ),
    (
        _STARTING,
        (
            r"the database system is|accepting (connections|clients)|cannot connect now",
            r"starting up|shutting down|recovery mode|is in transition|is (not ready|starting)",
            r"(could ?n.t|cannot|can't|could not|failed to|unable to) (connect|wake)",
            r"try(ing)? again|connect(ion)? (failed|refused|timed? ?out|timeout|crashed)",
            r"server connection crashed|control plane|timed[ -]out|temporarily|not available",
            r"das Datenbanksystem|sistemas? de bases? de datos|système de bases? de données",
            r"(il )?(sistema di )?database (si sta|è in modalità|non accetta)",
            r"データベースシステム|데이터베이스 시스템|система (баз данных|БД)|система бази даних",
            r"databassystemet|数据库系统|資料庫系統|ბაზის სისტემა",
            r"sistema de banco de dados|system (bazy|baz) danych|veritaban\w sistemi",
        ),
    ),
    (
        _NO_DATABASE,
        (
            r"no such database|unknown database",
            r"database .* (does not exist|not found)|Datenbank .* existiert nicht",
            r"no existe la base de datos|base de données .* n'existe pas",
            r"il database .* non esiste|データベース.*存在しません|데이터베이스 없음",
            r"база данных .* не существует|бази даних .* не існує|databasen .* existerar inte",
            r"数据库.*不存在|მონაცემთა ბაზა .* არ არსებობს",
        ),
    ),
    (
        _CONNECT,
        (
            r"permission denied for database|CONNECT privilege",
            r"keine Berechtigung für Datenbank|permiso denegado a la base",
            r"droit refusé pour la base|permesso negato per il database",
            r"データベース.*アクセスが拒否|데이터베이스 (접근|액세스) 권한 없음",
            r"нет доступа к базе|доступ к базе .* запрещён|бази даних .* відхилений",
            r"rättighet saknas för databas|数据库.*权限不够",
        ),
    ),
    (
        _LOGIN,
        (
            r"authenticat|password|(access )?token|credential|no such user|tenant or user",
            r"\brole .* does not exist|user .* (does not exist|not found)|login (failed|denied)",
            r"authentifi[zc]ierung|passwor|rolle .* existiert nicht",
            r"autentificación|contraseña|no existe el rol",
            r"authentification|mot de passe|le rôle .* n'existe pas",
            r"autenticazione|il ruolo .* non esiste|autenticação|senha",
            r"認証に失敗|パスワード|ロール.*存在しません",
            r"인증을 실패|암호|롤\(role\) 없음",
            r"проверку подлинности|пустой пароль|роль .* не существует|автентифікацію|пароль",
            r"autentisering|lösenord|rollen .* finns inte",
            r"认证.*失败|認證.*失敗|口令|密码|角色.*不存在",
            r"uwierzytelni|kimlik doğrulama|autentizace|ავთენტიფიკაცია|პაროლი",
        ),
    ),
)
_PATTERNS = [
    (refusal, re.compile("|".join(words), re.IGNORECASE | re.DOTALL)) for refusal, words in _KINDS
]

_NO_POSTGRES = (
    "invalid response to ssl negotiation",
    "expected authentication request from server",
    "unencrypted data after ssl response",
    "wrong version number",
    "packet length too long",
    "invalid message length",
    "message contents do not agree",
    "lost synchronization",
    "invalid authentication request",
    "expected protocol version",
    "unexpected message type",
)
NO_POSTGRES = "what answers there does not speak PostgreSQL's protocol: check host and port"


def read_answer(error: psycopg.Error) -> str | None:
    """Return what the server has said, whole and as it came; None where it has said nothing."""
    if error.sqlstate and error.diag.message_primary:
        return error.diag.message_primary
    answers = _ANSWER.findall(str(error))
    return answers[-1] if answers else None


def classify_answer(answer: str) -> ServerRefusal:
    """Return why the server refuses, by what it says."""
    return next((kind for kind, pattern in _PATTERNS if pattern.search(answer)), _OTHER)


def quote_answer(answer: str, password: Secret | None) -> str:
    """Return the server's words as they may be shown: one line, nothing hidden, no password."""
    text = mask_urls(answer)
    if password is not None and (secret := password.reveal()):
        text = text.replace(secret, "***")
    line = " ".join(text.split())
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
    return shown if len(shown) <= _MAX_LENGTH else f"{shown[:_MAX_LENGTH]}…"


def speaks_something_else(message: str) -> bool:
    """Return whether libpq's words, in lower case, are those before another kind of server."""
    return any(words in message for words in _NO_POSTGRES)


class WorthARetryError(TransientStoreError):
    """The same batch may well succeed at once, on another connection."""


_Meaning: TypeAlias = tuple[type[StoreError], str]

_LOST: _Meaning = (WorthARetryError, "the connection was lost")
_ADAPTATION = (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError)

# By SQLSTATE, or by its class, the first two characters; the longer one counts.
_MEANINGS: dict[str, _Meaning] = {
    "08": _LOST,
    "0A": (WorthARetryError, "a table was changed under us"),
    "22": (RowRefusedError, "a value does not fit its column"),
    "23": (RowRefusedError, "a row breaks a rule of its table"),
    "25": (TransientStoreError, "the transaction was refused"),
    "25006": (TransientStoreError, "the database is read-only for now: a standby, or closed"),
    "26": (WorthARetryError, "the server forgot a prepared statement"),
    "28": (PermanentStoreError, "the server refuses user or password: check both, and pg_hba.conf"),
    "3D": (PermanentStoreError, "the database does not exist: make it, or name another one"),
    "3F": (PermanentStoreError, "the role's search_path names no schema: make one, or set it"),
    "40": (WorthARetryError, "another transaction was in the way"),
    "42": (
        PermanentStoreError,
        "a statement failed: was a table changed or dropped? Fix it, or name other tables",
    ),
    "42501": (
        PermanentStoreError,
        (
            "the role lacks a right: grant it the tables (their owner brings those of an earlier"
            " version up to date), or CREATE where they are still to be made"
        ),
    ),
    "42710": (TransientStoreError, "another program is creating the tables at this moment"),
    "42P07": (TransientStoreError, "another program is creating the tables at this moment"),
    "53": (TransientStoreError, "the server is short of resources: disk, memory or connections"),
    "53100": (TransientStoreError, "the server's disk is full: make room"),
    "53300": (TransientStoreError, "the server has too many connections"),
    "54": (RowRefusedError, "a value is too large for the database or an index"),
    "55": (TransientStoreError, "a table is locked by another program"),
    "57": (TransientStoreError, "an operator or a time limit of the server broke it off"),
    "57P01": (WorthARetryError, "the server ended the connection"),
    "57P02": (WorthARetryError, "the server ended the connection"),
    "57P03": (TransientStoreError, "the server starts or stops at this moment"),
    "57P05": (WorthARetryError, "the server ended a connection that was idle"),
    "58": (TransientStoreError, "the server's system fails: check its disk"),
    "XX": (PermanentStoreError, "the server reports an internal error: see its log"),
}

# Words of libpq's own for a failed connection, which are only looked at.
_CONNECTING: tuple[tuple[str, _Meaning], ...] = (
    ("no password supplied", (PermanentStoreError, "the server asks for a password: give one")),
    (
        "certificate verify failed",
        (PermanentStoreError, "the server's certificate is not trusted: see ssl_root_cert"),
    ),
    (
        "does not match host name",
        (PermanentStoreError, "the server's certificate is for another name"),
    ),
    (
        "does not support ssl",
        (PermanentStoreError, "the server speaks no TLS: turn it on, or see ssl_mode"),
    ),
    (
        "channel binding",
        (PermanentStoreError, "the server offers no channel binding: see channel_binding"),
    ),
    ("root certificate file", (PermanentStoreError, "the file of ssl_root_cert can't be read")),
    ("certificate file", (PermanentStoreError, "a file of the client certificate can't be read")),
    ("private key file", (PermanentStoreError, "the file of the client's key can't be used")),
)
_FAR: _Meaning = (TransientStoreError, "no connection: is the server up, and can it be reached?")


@contextmanager
def translate_errors(label: str) -> Iterator[None]:
    """Turn the driver's errors into ours; `label` is what errors call it."""
    try:
        yield
    except psycopg.Error as error:
        raise _translate(label, error) from None
    except (UnicodeEncodeError, OverflowError) as error:
        raise RowRefusedError(f"{label}: a value does not fit ({type(error).__name__})") from None
    except MemoryError:
        raise TransientStoreError(f"{label}: memory ran out") from None
    except OSError as error:
        raise TransientStoreError(f"{label}: the system fails for now ({error.errno})") from None


@contextmanager
def translate_connect_errors(label: str, password: Secret | None = None) -> Iterator[None]:
    """Turn the errors of a connection that is just being made into ours.

    A server's own words are shown, without the password, whatever else they hold.
    """
    try:
        yield
    except psycopg.Error as error:
        raise build_connection_error(label, error, password) from None
    except OSError as error:
        raise TransientStoreError(f"{label}: the system fails for now ({error.errno})") from None


def _translate(label: str, error: psycopg.Error) -> StoreError:
    state = error.sqlstate
    if state is None:
        # Without an answer of the server: a value that the driver refuses, or a broken line.
        kind, words = (
            (RowRefusedError, "a value is of a type that no column takes")
            if isinstance(error, _ADAPTATION)
            else _LOST
        )
        return kind(f"{label}: {words} ({type(error).__name__})")
    kind, words = _MEANINGS.get(state) or _MEANINGS.get(state[:2]) or _MEANINGS["42"]
    return kind(f"{label}: {words} (SQLSTATE {state})")


def build_connection_error(label: str, error: psycopg.Error, password: Secret | None) -> StoreError:
    """Return our error for a connection that could not be made."""
    answer = read_answer(error)
    if answer is None:
        kind, words = _explain_failed_connection(error)
        return kind(f"{label}: {words}")
    refusal = classify_answer(answer)
    kind = TransientStoreError if refusal.is_transient else PermanentStoreError
    state = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
    text = quote_answer(answer, password)
    return kind(f'{label}: {refusal.words}{state}. The server says: "{text}"')


def _explain_failed_connection(error: psycopg.Error) -> _Meaning:
    text = str(error).lower()  # for comparison alone: it may hold what is secret
    if speaks_something_else(text):
        return PermanentStoreError, NO_POSTGRES
    return next((meaning for words, meaning in _CONNECTING if words in text), _FAR)
