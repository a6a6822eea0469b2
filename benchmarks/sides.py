"""What is compared: mitmdump without the addon, and with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.places import CAPTURE_SCRIPT, SCRIPTS


class Durability(StrEnum):
    """The addon's settings of the same name."""

    POWER = "power"
    PROCESS = "process"


@dataclass(frozen=True)
class Side:
    """One way to run mitmdump. `durability` set: with the addon."""

    name: str
    scripts: tuple[Path, ...] = ()
    durability: Durability | None = None

    def arguments(self, folder: Path) -> list[str]:
        """The options that only this side has; writes its configuration where it needs one."""
        found = [part for script in self.scripts for part in ("-s", str(script))]
        if self.durability is None:
            return found
        config = folder / "config.yaml"
        config.write_text(self._configuration(folder))
        return [*found, "-s", str(CAPTURE_SCRIPT), "--set", f"response_store_config={config}"]

    def _configuration(self, folder: Path) -> str:
        url = json.dumps(f"sqlite://{self.database(folder)}")
        return f"database_url: {url}\ndurability: {self.durability}\n"

    def database(self, folder: Path) -> Path:
        """The SQLite file of this side in its folder."""
        return folder / "responses.db"


PASS_THROUGH = SCRIPTS / "pass_through.py"

BARE = Side("bare")
BARE_AGAIN = Side("bare again")
STREAMING = Side("pass-through", (PASS_THROUGH,))
STREAMING_AGAIN = Side("pass-through again", (PASS_THROUGH,))
POWER = Side("addon, power", durability=Durability.POWER)
PROCESS = Side("addon, process", durability=Durability.PROCESS)
