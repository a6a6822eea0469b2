r"""List the patterns of secrets by name: what `redact` looks for where it is `common`.

Keys are recognised by the marks that their vendors give them for this purpose, and by a least
length. The group `secret`, where a pattern has one, is what is replaced; else all of it is.

In front of a key stands no letter or digit, but perhaps the end of an escape: in a JSON text that
is quoted inside another, `\n` before a key is a backslash and the letter n. In what a terminal
shows, a colour such as `[32m` may stand there. The lines of a file that a tool has read may have
numbers, bars, arrows and the like in front.

Cut off before its end, a key goes up to what is no base64, escaped line ends included. Each byte
is looked at a few times at most, however many marks there are.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from types import MappingProxyType

KEY_NAME = "[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?"
_name = KEY_NAME.encode()
_MARGIN = rb"\xe2\x86\x92\x94\x82"  # bytes of an arrow and of a bar, which tools put before lines
_begins = re.compile(rb"-----BEGIN " + _name + rb"-----").finditer
_end_or_other = re.compile(
    rb"-----END " + _name + rb"-----|[^A-Za-z0-9+/=\\\s:,.'\"|>#*`();" + _MARGIN + rb"-]"
).search
_base64 = re.compile(rb"[A-Za-z0-9+/=\\\s|>:#*" + _MARGIN + rb"]*+").match


class PrivateKeys:
    """A matcher for private keys, with the method of a regular expression."""

    group = 0

    def spans(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Yield where each begins and ends."""
        at = 0
        stop: re.Match[bytes] | None = None
        stop_at = -1  # where `stop` stands; nothing stops a key before it
        for begin in _begins(text):
            if begin.start() < at:
                continue
            if stop_at < begin.end():
                stop = _end_or_other(text, begin.end())
                stop_at = stop.start() if stop else len(text)
            if stop is not None and stop[0][:1] == b"-":
                at = stop.end()
            else:
                rest = _base64(text, begin.end())
                at = rest.end() if rest else begin.end()
            yield begin.start(), at


_BEFORE = (
    r"(?:\b|_|\\[nrtbfv0]|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|%[0-9a-fA-F]{2}"
    r"|\[[0-9;:?]{0,20}[A-Za-z]|\([AB0-2])"
)
_VALUE = r"[\"'\\\s:=]{1,12}"  # between a name and what it names


def _build_key_pattern(*forms: str) -> str:
    return f"{_BEFORE}(?P<secret>{'|'.join(forms)})"


KNOWN = MappingProxyType(
    {
        "anthropic": _build_key_pattern(r"sk-ant-[A-Za-z0-9_-]{20,}"),
        "age": _build_key_pattern("AGE-SECRET-KEY-1[A-Z0-9]{50,}"),
        "aws": (
            rf"{_BEFORE}(?P<secret>(?:AKIA|ASIA)[A-Z0-9]{{16}}\b"
            r"|(?:IQoJ|FwoG|FQoG)[A-Za-z0-9+/=]{80,}"
            r"|(?:ABSK|bedrock-api-key-)[A-Za-z0-9+/=]{40,})"
        ),
        "aws-secret": (
            r"(?i:secret_?access_?key|aws_?secret_?key)[\"'\\\s:=]{1,12}"
            r"(?P<secret>[A-Za-z0-9/+]{40})"
        ),
        "azure": rf"(?i:api_?key){_VALUE}(?P<secret>[0-9a-fA-F]{{32}}|[A-Za-z0-9]{{84}})\b",
        "azure-storage": r"AccountKey=(?P<secret>[A-Za-z0-9+/]{86}==)",
        "cerebras": _build_key_pattern("csk-[A-Za-z0-9]{30,}"),
        "databricks": _build_key_pattern("dapi[0-9a-f]{32}"),
        "digitalocean": _build_key_pattern("do[opr]_v1_[0-9a-f]{40,}"),
        "docker": _build_key_pattern("dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
        "fireworks": _build_key_pattern("fw_[A-Za-z0-9]{20,}"),
        "github": _build_key_pattern("gh[pousr]_[A-Za-z0-9]{30,}", "github_pat_[A-Za-z0-9_]{22,}"),
        "gitlab": _build_key_pattern(
            "gl(?:pat|oas|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct)-[A-Za-z0-9_-]{20,}"
        ),
        "google": _build_key_pattern(
            "AIza[A-Za-z0-9_-]{35}",
            "GOCSPX-[A-Za-z0-9_-]{28}",
            r"ya29\.[A-Za-z0-9_-]{20,}",
            r"AQ\.[A-Za-z0-9_-]{30,}",
            "1//[A-Za-z0-9_-]{30,}",
        ),
        "grafana": _build_key_pattern("gl(?:sa|c)_[A-Za-z0-9_+/=]{30,}"),
        "groq": _build_key_pattern("gsk_[A-Za-z0-9]{40,}"),
        "huggingface": _build_key_pattern("hf_[A-Za-z0-9]{30,}"),
        "jwt": _build_key_pattern(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
        "langfuse": _build_key_pattern("[sp]k-lf-[A-Za-z0-9-]{20,}"),
        "langsmith": _build_key_pattern("lsv2_[A-Za-z0-9_]{30,}"),
        "linear": _build_key_pattern("lin_(?:api|oauth)_[A-Za-z0-9]{30,}"),
        "litellm": rf"{_BEFORE}(?P<secret>sk-[A-Za-z0-9_-]{{22}})(?:[^A-Za-z0-9_-]|$)",
        "notion": _build_key_pattern("ntn_[A-Za-z0-9]{30,}"),
        "npm": _build_key_pattern("npm_[A-Za-z0-9]{36}"),
        "nvidia": _build_key_pattern("nvapi-[A-Za-z0-9_-]{40,}"),
        "openai": _build_key_pattern(
            "sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}",
            "sk-[A-Za-z0-9]{32,}",
            "sess-[A-Za-z0-9]{30,}",
            "ek_[A-Za-z0-9]{24,}",
        ),
        "openrouter": _build_key_pattern("sk-or-(?:v1-)?[A-Za-z0-9]{32,}"),
        "perplexity": _build_key_pattern("pplx-[A-Za-z0-9]{30,}"),
        # Where one begins; `private_keys` finds its end.
        "private-key": rf"-----BEGIN {KEY_NAME}-----",
        "putty": (
            r"Private-Lines: ?[0-9]+(?:\s|\\[nr])+(?P<secret>[A-Za-z0-9+/=]{20}[A-Za-z0-9+/=\\\s]*)"
        ),
        "pypi": _build_key_pattern("pypi-AgE[A-Za-z0-9_-]{50,}"),
        "replicate": _build_key_pattern("r8_[A-Za-z0-9]{30,}"),
        "sendgrid": _build_key_pattern(r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
        "shopify": _build_key_pattern("shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
        "slack": _build_key_pattern(
            "xox[abeoprs]-[A-Za-z0-9-]{10,}",
            "xapp-[0-9]-[A-Za-z0-9-]{10,}",
            r"hooks\.slack\.com/services/T[A-Za-z0-9_]+/B[A-Za-z0-9_]+/[A-Za-z0-9_]{16,}",
        ),
        "stripe": _build_key_pattern(
            "[rs]k_(?:live|test)_[A-Za-z0-9]{16,}", "whsec_[A-Za-z0-9+/]{24,}"
        ),
        "supabase": _build_key_pattern("sbp_[0-9a-f]{40}", "sb_secret_[A-Za-z0-9_-]{20,}"),
        "tavily": _build_key_pattern("tvly-[A-Za-z0-9-]{20,}"),
        "telegram": rf"(?:{_BEFORE}|bot)(?P<secret>[0-9]{{8,10}}:AA[A-Za-z0-9_-]{{33}})",
        "twilio": rf"{_BEFORE}(?P<secret>SK[0-9a-f]{{32}})\b",
        "twilio-token": rf"(?i:auth_?token){_VALUE}(?P<secret>[0-9a-f]{{32}})\b",
        "vault": _build_key_pattern(r"hv[sbr]\.[A-Za-z0-9_-]{20,}"),
        "xai": _build_key_pattern("xai-[A-Za-z0-9]{60,}"),
        # The vaguer ones last: where two find the same, the first names it.
        "url-password": r"[a-zA-Z]://[^\s/:@\"'\\]*:(?P<secret>[^\s/@\"'\\]{3,})@",
        "api-key": rf"(?i:api-key){_VALUE}(?P<secret>[^\s\"'\\,;]{{8,}})",
        "basic": r"(?i:basic)(?:\s|\\[nt]|%20|\+)+(?P<secret>[A-Za-z0-9+/]{8,}={0,2})",
        "password": (
            r"(?i:\b(?:password|passwd|pwd)) ?= ?[\"'\\]{0,3}(?P<secret>[^\s;&\"'\\,()\[\]{}]{3,})"
            r"(?:[\s;&\"'\\,]|$)"
        ),
        "bearer": r"(?i:bearer)(?:\s|\\[nt]|%20|\+)+(?P<secret>[A-Za-z0-9._~+/-]{20,}=*)",
    }
)
"""Regular expressions by name."""


def _is_mixed(secret: bytes) -> bool:
    """Return whether it has capitals, small letters and digits, as words with hyphens do not."""
    text = secret.decode(errors="replace")
    return any(map(str.isupper, text)) and any(map(str.islower, text)) and _has_digit(secret)


def _has_digit(secret: bytes) -> bool:
    return any(char in b"0123456789" for char in secret)


def _is_basic(secret: bytes) -> bool:
    """Return whether it is the base64 of a name and a password."""
    try:
        return b":" in base64.b64decode(secret + b"=" * (-len(secret) % 4), validate=True)
    except ValueError:
        return False


def _is_password(secret: bytes) -> bool:
    return secret.lower() not in _NO_PASSWORDS


_NO_PASSWORDS = frozenset({b"none", b"null", b"true", b"false", b"undefined", b"***", b"password"})
ACCEPTS: MappingProxyType[str, Callable[[bytes], bool]] = MappingProxyType(
    {"litellm": _is_mixed, "basic": _is_basic, "password": _is_password}
)
"""What a secret must be beside the form: ordinary text has that form as well."""
