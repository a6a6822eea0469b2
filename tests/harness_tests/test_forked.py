"""A proxy that was forked is like one that was executed, as far as tests look."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import MakeProxy


@pytest.mark.parametrize("executed", [False, True])
def test_how_it_ends(make_proxy: MakeProxy, executed: bool) -> None:
    """It runs in its folder, and its end is told: by itself, by a signal, or at once."""
    proxy = make_proxy(executed=executed, addon=False, config=None)
    for number, status in ((signal.SIGTERM, 0), (signal.SIGKILL, -9)):
        with proxy.open():
            assert proxy.process is not None
            assert Path(f"/proc/{proxy.process.pid}/cwd").resolve() == proxy.folder
            assert proxy.process.poll() is None
            proxy.process.send_signal(number)
            assert proxy.wait().returncode == proxy.process.poll() == status
    refused = make_proxy("refused", executed=executed, addon=False, config=None, mode="nonsense")
    assert refused.run().returncode == 1
