"""One exchange, one row, whatever its end: a mix of all kinds, cut at random, the proxy killed.

`INVARIANT_EXCHANGES=1000` plays the long form, `INVARIANT_SEED` another mix. A seed fixes what is
asked and where it is cut; among what the kill comes is up to the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import BY_TENANT
from tests.harness.mixed_run import play_mix

if TYPE_CHECKING:
    from tests.conftest import MakeProxy
    from tests.harness.proxy import Proxy


@pytest.mark.timeout(600)
def test_mix(make_proxy: MakeProxy) -> None:
    """Each exchange of a mix has its one row, whoever cut it off; the proxy is killed halfway."""

    def make(settings: dict[str, Any], **how: Any) -> Proxy:
        return make_proxy(config=BY_TENANT | settings, **how)

    play_mix(make, None, 180)
