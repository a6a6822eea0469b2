"""Keys of every known kind. None is real; each is put together, so that scanners pass it over."""

from __future__ import annotations

A20, A30, A40 = "Ab3dEf6hIj9lMn2pQr5t", "Ab3dEf6hIj9lMn2pQr5tUv8xYz1aBc", "Ab3dEf6hIj" * 4
PEM = "\n".join(
    ("-----BEGIN RSA " + "PRIVATE KEY-----", "MIIEpAIBAAKCAQEA" + A40, A40 + "/+==",
     "-----END RSA " + "PRIVATE KEY-----")
)  # fmt: skip

KEYS = {
    "anthropic": "sk-" + "ant-api03-" + A40,
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "aws-secret": A40,
    "azure-storage": "A" * 86 + "==",
    "github": "ghp_" + A40,
    "gitlab": "glpat-" + A20,
    "google": "AIza" + "S" * 35,
    "groq": "gsk_" + A40,
    "huggingface": "hf_" + A30,
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiIxMjM0In0" + "." + A20,
    "npm": "npm_" + "a" * 36,
    "openai": "sk-" + "proj-" + A40,
    "openrouter": "sk-" + "or-v1-" + "0a" * 32,
    "private-key": PEM,
    "pypi": "pypi-" + "AgE" + "b" * 60,
    "sendgrid": "SG." + A20 + "." + A20,
    "slack": "xoxb-" + "1234567890-abcdef",
    "stripe": "sk_" + "live_" + A20,
    "xai": "xai-" + "c" * 64,
    "url-password": "hunter2-swordfish",
    "bearer": A30 + "~.=",
}
AROUND = {
    "aws-secret": 'aws_secret_access_key = "{}"',
    "azure-storage": "AccountName=x;AccountKey={};EndpointSuffix=y",
    "bearer": "Authorization: Bearer {}",
    "url-password": "postgres://someone:{}@db.example/x",
}


def said(name: str) -> str:
    """A key of this kind as it stands in a text."""
    return AROUND.get(name, "the key is {} here").format(KEYS[name])
