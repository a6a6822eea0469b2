"""Everything known of the OpenAI wire, as pure functions: no mitmproxy, no SQL."""
