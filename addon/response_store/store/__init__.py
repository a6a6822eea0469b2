"""From records to databases, and back. Knows nothing of HTTP."""
