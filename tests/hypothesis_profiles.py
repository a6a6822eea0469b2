"""How Hypothesis searches: the same examples on each run, or new ones on request.

A check must not turn red by chance on a commit that changes nothing. `HYPOTHESIS_PROFILE=explore`
searches anew each time; what it finds becomes an `@example`. `brief` tries a fifth of the
repeatable examples: for the other Pythons, where one has tried them all.
"""

from __future__ import annotations

import os

from hypothesis import settings

PROFILE = "HYPOTHESIS_PROFILE"
BRIEF = 5


def load_profile() -> None:
    """Take the profile that HYPOTHESIS_PROFILE names, else the repeatable one."""
    settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
    settings.register_profile(
        "brief", settings.get_profile("repeatable"), max_examples=examples(100)
    )
    settings.register_profile("explore", deadline=None, print_blob=True)
    settings.load_profile(os.environ.get(PROFILE, "repeatable"))


def examples(number: int) -> int:
    """Return how many examples a test tries that tries so many in the repeatable profile."""
    return number // BRIEF if os.environ.get(PROFILE) == "brief" else number
