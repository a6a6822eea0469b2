"""Where exchanges are played: a proxy that is killed and started again, and who asks through it."""

from __future__ import annotations

import random
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from tests.fakes.answers import Gate
from tests.harness.clients import RawClient, Reply
from tests.harness.ingesters import kill_both
from tests.harness.mixed import Asked, Columns, Life, complaints, missing

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.fakes.websocket import WebSocketSwitch
    from tests.harness.database import Database, Row
    from tests.harness.proxy import Proxy

DEADLINE = 20.0


class CutOffError(ConnectionError):
    """The other side left before the end."""


@dataclass
class Scene:
    """Where one play takes place: a proxy, a model server, chance, and a tenant of its own."""

    stage: Stage
    life: Life
    tenant: str
    chance: random.Random
    asked: list[Asked] = field(default_factory=list)
    over: bool = False

    @property
    def server(self) -> ModelServer:
        return self.stage.server

    @property
    def switch(self) -> WebSocketSwitch:
        return self.stage.switch

    def ask(
        self,
        *ends: Columns,
        model: str = "",
        is_row: Callable[[Row], bool] | None = None,
        opens: bool = True,
        passing: tuple[Columns, ...] = (),
    ) -> Asked:
        """Note an exchange that is about to be asked for; its row is that of its model."""
        name = model or f"gpt-{len(self.asked)}"
        by_model = is_row or (lambda row: row["requested_model"] == name)
        asked = Asked(self.life, self.tenant, name, ends, by_model, passing, opens)
        self.asked.append(asked)
        return asked

    def client(self) -> RawClient:
        """A connection to the proxy."""
        return RawClient(self.life.port)

    def hear(self, asked: Asked, body: Any, client: RawClient | None = None, **how: str) -> Reply:
        """Ask, and read the answer to its end; on a connection of its own, unless one is given."""
        if client is None:
            with self.client() as own:
                return self.hear(asked, body, own, **how)
        reply = client.read_to_end(client.ask(body, x_tenant=self.tenant, **how))
        if not reply.whole:
            raise CutOffError
        asked.seen = True
        return reply

    def wait(self, gate: Gate) -> None:
        """Wait until the model server stands at a gate, unless the proxy is killed."""
        deadline = monotonic() + DEADLINE
        while not gate.reached.wait(0.02):
            if self.life.over.is_set():
                raise CutOffError
            assert monotonic() < deadline, "the model server never came to its gate"

    def arrived(self) -> list[Asked]:
        """What has reached the model server of all that was asked here."""
        models = {one.request.fields.get("model") for one in self.server.recordings.of(self.tenant)}
        for served in self.switch._tagged(self.tenant):
            models |= {message.get("model") for message in list(served.received)}
        return [asked for asked in list(self.asked) if asked.model in models]

    def move(self) -> None:
        """Go on with the proxy that is started after this one."""
        self.life = self.stage.life_after(self.life)


Play = Callable[[Scene], None]


class Stage:
    """A proxy that may be killed, before a model server; `database` is where its rows are."""

    def __init__(
        self, proxy: Proxy, database: Database, server: ModelServer, switch: WebSocketSwitch
    ) -> None:
        self.server = server
        self.switch = switch
        self.errors: list[str] = []
        self.fuse = Gate()
        self._proxy = proxy
        self._database = database
        self._changed = threading.Condition()
        self._scenes: list[Scene] = []
        self._life = Life(0, 0)
        self._shut = True  # nobody begins to play

    @property
    def asked(self) -> list[Asked]:
        """All that was asked for so far."""
        with self._changed:
            return [asked for scene in self._scenes for asked in list(scene.asked)]

    def start(self) -> None:
        """Start the proxy, for the first time or again."""
        self._proxy.open()
        with self._changed:
            self._life = Life(self._life.number + 1, self._proxy.port)
            self._shut = False
            self._changed.notify_all()

    def kill_ingester(self) -> None:
        """Kill the ingester alone, which nobody notices."""
        self._proxy.kill_ingester()

    def kill(
        self, held: Sequence[Play], last: Sequence[Play], chance: random.Random, *, both: bool
    ) -> None:
        """Kill the proxy while these and others are under way, and start it again.

        First wait until all that has reached the model server has its row; see `mixed`. Then light
        the fuse that `last` wait for, and kill as soon as one of them has ended. Meanwhile the disk
        is slow: what does not wait for it is lost. With `both` the ingester is killed as well, so
        that the next proxy finds the journal.
        """
        self.fuse = Gate()
        scenes = [self.enter(random.Random(chance.random())) for _ in (*held, *last)]
        threads = [
            threading.Thread(target=self.act, args=pair, daemon=True)
            for pair in zip(scenes, (*held, *last), strict=True)
        ]
        for thread in threads:
            thread.start()
        self._wait(lambda: [f"{one.tenant}: not there" for one in scenes if not _all_arrived(one)])
        settled, running = self._doom()
        noted = [one for scene in running for one in scene.arrived() if one.ends and one.opens]
        self._wait(lambda: missing(settled, noted, self._database))
        self._shut = True
        with self._slow_disk():
            self.fuse.open()
            waiting = [asked for scene in scenes[len(held) :] for asked in scene.asked]
            self._wait(lambda: [] if any(one.seen for one in waiting) else ["no end comes"], 0.001)
            if both:
                kill_both(self._proxy)
            else:
                self._proxy.kill9()
        for asked in noted:
            asked.noted = True
        self._life.over.set()
        self.start()
        for thread in threads:
            thread.join(DEADLINE)

    @contextmanager
    def _slow_disk(self) -> Iterator[None]:
        slow = self._proxy.folder / "slow"
        slow.touch()
        try:
            yield
        finally:
            slow.unlink()

    def judge(self) -> None:
        """Wait until all rows are as they have to be; fail with what is wrong if they never are.

        For when every play is over.
        """
        self._wait(lambda: [*self.errors, *complaints(self.asked, self._database)])

    def enter(self, chance: random.Random) -> Scene:
        """A scene for a play, with the proxy that runs."""
        life = self._running_life(lambda _: not self._shut)
        with self._changed:
            scene = Scene(self, life, f"mix-{len(self._scenes)}", chance)
            self._scenes.append(scene)
            return scene

    def act(self, scene: Scene, play: Play) -> None:
        """Play. What breaks off while the proxy is killed was cut off; all else is an error."""
        try:
            play(scene)
        except (OSError, EOFError):
            if not scene.life.doomed.is_set():
                self._note_error(scene)
        except BaseException:  # noqa: BLE001 - the test tells it
            self._note_error(scene)
        with self._changed:
            scene.over = True
            for asked in scene.asked:
                asked.settled = not asked.life.doomed.is_set()

    def life_after(self, life: Life) -> Life:
        """The next process of the proxy, once it has been started."""
        return self._running_life(lambda now: now.number > life.number)

    def _running_life(self, wanted: Callable[[Life], bool]) -> Life:
        with self._changed:
            assert self._changed.wait_for(lambda: wanted(self._life), DEADLINE), "no proxy runs"
            return self._life

    def _doom(self) -> tuple[list[Asked], list[Scene]]:
        """From now on plays may be cut off. What is settled by now, and where plays go on."""
        with self._changed:
            self._life.doomed.set()
            running = [scene for scene in self._scenes if not scene.over]
            over = [asked for scene in self._scenes if scene.over for asked in scene.asked]
            return [asked for asked in over if asked.settled], running

    def _note_error(self, scene: Scene) -> None:
        self.errors.append(f"{scene.tenant}: {traceback.format_exc()}")

    def _wait(self, wrong: Callable[[], list[str]], pause: float = 0.01) -> None:
        """Wait until nothing is wrong any more."""
        deadline = monotonic() + DEADLINE
        while told := wrong():
            if monotonic() > deadline or self.errors:
                raise AssertionError("\n".join([*told, *self.errors]))
            sleep(pause)


def _all_arrived(scene: Scene) -> bool:
    return bool(scene.asked) and len(scene.arrived()) == len(scene.asked)
