"""How Hypothesis searches: the same examples on each run, or new ones on request.

A check must not turn red by chance on a commit that changes nothing. `HYPOTHESIS_PROFILE=explore`
searches anew each time; what it finds becomes an `@example`. `repeatable` tries half as many, the
same on each run: more of those find nothing that the first did not. `brief` tries a fifth of these,
for the other Pythons, where one has tried them all.
"""

from __future__ import annotations

import os

from hypothesis import settings

PROFILE = "HYPOTHESIS_PROFILE"
SHARES = {"explore": 1, "repeatable": 2, "brief": 10}


def load_profile() -> None:
    """Take the profile that HYPOTHESIS_PROFILE names, else the repeatable one."""
    settings.register_profile(
        "repeatable", derandomize=True, deadline=None, database=None, max_examples=examples(100)
    )
    settings.register_profile("brief", settings.get_profile("repeatable"))
    settings.register_profile("explore", deadline=None, print_blob=True)
    settings.load_profile(_name_profile())


def examples(number: int) -> int:
    """Return how many examples a test tries in this profile that tries so many in `explore`."""
    return number // SHARES[_name_profile()]


def _name_profile() -> str:
    return os.environ.get(PROFILE, "repeatable")
