"""Keys of every known kind. None is real; each is put together, so that scanners pass it over."""

from __future__ import annotations

import base64

A20, A30, A40 = "Ab3dEf6hIj9lMn2pQr5t", "Ab3dEf6hIj9lMn2pQr5tUv8xYz1aBc", "Ab3dEf6hIj" * 4
PEM = "\n".join(
    ("-----BEGIN RSA " + "PRIVATE KEY-----", "MIIEpAIBAAKCAQEA" + A40, A40 + "/+==",
     "-----END RSA " + "PRIVATE KEY-----")
)  # fmt: skip

HEX32 = "0123456789abcdef" * 2

KEYS = {
    "age": "AGE-SECRET-" + "KEY-1" + "Q" * 58,
    "api-key": "anything-at-all",
    "azure": HEX32,
    "basic": base64.b64encode(b"someone:swordfish").decode(),
    "cerebras": "csk-" + A40,
    "databricks": "dapi" + HEX32,
    "digitalocean": "dop_v1_" + HEX32 * 2,
    "docker": "dckr_" + "pat_" + A30,
    "fireworks": "fw_" + A20,
    "grafana": "glsa_" + A40,
    "langfuse": "sk-lf-" + "01234567-89ab-cdef-0123-456789abcdef",
    "langsmith": "lsv2_" + "pt_" + HEX32 + "_0123456789",
    "linear": "lin_" + "api_" + A40,
    "litellm": "sk-" + "Ab3dEf6hIj9lMn2p_r5t-v",
    "notion": "ntn_" + A40,
    "nvidia": "nvapi-" + A40,
    "password": "swordfish-hunter2",
    "perplexity": "pplx-" + A40,
    "putty": "AAAAB3NzaC1yc2EAAAADAQABAAABAQ" + A40,
    "replicate": "r8_" + A30,
    "shopify": "shpat_" + HEX32,
    "supabase": "sbp_" + "0123456789" * 4,
    "tavily": "tvly-" + "dev-" + A30,
    "telegram": "123456789" + ":AA" + "b" * 33,
    "twilio": "SK" + HEX32,
    "twilio-token": HEX32[::-1],
    "vault": "hvs." + A30,
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
    "api-key": "x-api-key: {}",
    "azure": "AZURE_OPENAI_API_KEY={}",
    "basic": "Authorization: Basic {}",
    "password": "Server=db;User=me;Password={};Encrypt=true",
    "putty": "Private-Lines: 2\n{}",
    "twilio-token": "TWILIO_AUTH_TOKEN={}",
    "aws-secret": 'aws_secret_access_key = "{}"',
    "azure-storage": "AccountName=x;AccountKey={};EndpointSuffix=y",
    "bearer": "Authorization: Bearer {}",
    "url-password": "postgres://someone:{}@db.example/x",
}


def said(name: str) -> str:
    """A key of this kind as it stands in a text."""
    return AROUND.get(name, "the key is {} here").format(KEYS[name])
