"""A script for either process: bounds of whole bodies, a part of what they are.

With bodies of the same part they make a model of what large ones cost, which is soon measured.
"""

from __future__ import annotations

import os

from response_store import limits

PART = "HARNESS_BODIES_PART"
"""The variable that says what the bounds are divided by."""
BOUNDS = "READ_BYTES CAREFUL_BYTES LARGE_TEXT VALUES QUOTES READ_SECONDS BODY_SECONDS".split()

for name in BOUNDS:
    bound = getattr(limits, name)
    setattr(limits, name, type(bound)(bound / int(os.environ.get(PART, "1"))))
