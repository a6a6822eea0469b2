"""How Hypothesis searches: the same examples on each run, or new ones on request.

A check must not turn red by chance on a commit that changes nothing. `HYPOTHESIS_PROFILE=explore`
searches anew each time; what it finds becomes an `@example`.
"""

from __future__ import annotations

import os

from hypothesis import settings


def load_profile() -> None:
    """Take the profile that HYPOTHESIS_PROFILE names, else the repeatable one."""
    settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
    settings.register_profile("explore", deadline=None, print_blob=True)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
