r"""Patterns of secrets by name: what `redact: common` looks for.

Keys are recognised by the marks that their vendors give them for this purpose, and by a least
length. The group `secret`, where a pattern has one, is what is replaced; else all of it is.

In front of a key stands no letter or digit, but perhaps the end of an escape: in a JSON text that
is quoted inside another, `\n` before a key is a backslash and the letter n. In what a terminal
shows, a colour such as `[32m` may stand there. The lines of a file that a tool has read may have
numbers, bars, arrows and the like in front.
"""

from __future__ import annotations

from types import MappingProxyType

_BEFORE = (
    r"(?:\b|_|\\[nrtbfv0]|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|%[0-9a-fA-F]{2}"
    r"|\[[0-9;:]{0,20}m)"
)
_BASE64 = r"[A-Za-z0-9+/=\\\s|>→│:#*]"
_KEY_NAME = "[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?"


def _key(*forms: str) -> str:
    return f"{_BEFORE}(?P<secret>{'|'.join(forms)})"


KNOWN = MappingProxyType(
    {
        "anthropic": _key(r"sk-ant-[A-Za-z0-9_-]{20,}"),
        "aws": (rf"{_BEFORE}(?P<secret>(?:AKIA|ASIA)[A-Z0-9]{{16}})\b"),
        "aws-secret": (
            r"(?i:secret_?access_?key|aws_?secret_?key)[\"'\\\s:=]{1,12}"
            r"(?P<secret>[A-Za-z0-9/+]{40})"
        ),
        "azure-storage": r"AccountKey=(?P<secret>[A-Za-z0-9+/]{86}==)",
        "github": _key("gh[pousr]_[A-Za-z0-9]{30,}", "github_pat_[A-Za-z0-9_]{22,}"),
        "gitlab": _key("gl(?:pat|oas|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct)-[A-Za-z0-9_-]{20,}"),
        "google": _key(
            "AIza[A-Za-z0-9_-]{35}", "GOCSPX-[A-Za-z0-9_-]{28}", r"ya29\.[A-Za-z0-9_-]{20,}"
        ),
        "groq": _key("gsk_[A-Za-z0-9]{40,}"),
        "huggingface": _key("hf_[A-Za-z0-9]{30,}"),
        "jwt": _key(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
        "npm": _key("npm_[A-Za-z0-9]{36}"),
        "openai": _key("sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}", "sk-[A-Za-z0-9]{32,}"),
        "openrouter": _key("sk-or-(?:v1-)?[A-Za-z0-9]{32,}"),
        # Cut off before its end, a key goes up to what is no base64; escaped line ends included.
        "private-key": (
            rf"-----BEGIN {_KEY_NAME}-----(?:[A-Za-z0-9+/=\\\s:,.'\"|>→│#*`();-]*?"
            rf"-----END {_KEY_NAME}-----|{_BASE64}*)"
        ),
        "pypi": _key("pypi-AgE[A-Za-z0-9_-]{50,}"),
        "sendgrid": _key(r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
        "slack": _key(
            "xox[abeoprs]-[A-Za-z0-9-]{10,}",
            "xapp-[0-9]-[A-Za-z0-9-]{10,}",
            r"hooks\.slack\.com/services/T[A-Za-z0-9_]+/B[A-Za-z0-9_]+/[A-Za-z0-9_]{16,}",
        ),
        "stripe": _key("[rs]k_(?:live|test)_[A-Za-z0-9]{16,}", "whsec_[A-Za-z0-9+/]{24,}"),
        "xai": _key("xai-[A-Za-z0-9]{60,}"),
        # The vaguer ones last: where two find the same, the first names it.
        "url-password": r"[a-zA-Z]://[^\s/:@\"'\\]*:(?P<secret>[^\s/@\"'\\]{3,})@",
        "bearer": r"(?i:bearer)(?:\s|\\[nt]|%20|\+)+(?P<secret>[A-Za-z0-9._~+/-]{20,}=*)",
    }
)
"""Regular expressions by name."""
