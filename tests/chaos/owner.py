"""The owner of the installation, who erases a subject and rotates keys while the faults strike."""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cli.stack.files import write_private
from cli.stack.root import ROOT
from models import keks
from tests.chaos.acts import Actor, Asker, Tenant
from tests.chaos.history import Act, History
from tests.chaos.installation import Installation
from tests.chaos.personal import ERASED

# When each happens, as a part of the run: keys are rotated before the erasure and after it.
ROTATED_AT, ERASED_AT = (0.2, 0.65), 0.4
# While Postgres is down, each is tried again.
AGAIN_S, LOOK_S = 0.5, 0.1
ROTATES_WITHIN_S = 30
TRIES_MAX = 60


class Owner(Actor):
    """Does what is planned, each thing until it has been acknowledged."""

    def __init__(
        self, installation: Installation, tenants: list[Tenant], history: History, seconds: float
    ) -> None:
        self._asker = Asker(installation.url, history)
        super().__init__("owner", self._asker)
        self._installation, self._history = installation, history
        self._began = time.monotonic()
        self.rotations = 0
        planned: list[tuple[float, Callable[[], bool]]] = [
            *((at * seconds, self.rotate) for at in ROTATED_AT),
            *((ERASED_AT * seconds, partial(self._erase, one)) for one in tenants),
        ]
        self._planned = sorted(planned, key=lambda one: one[0])

    def finish(self) -> None:
        """What is left to be done, now that no fault strikes; raises AssertionError."""
        for _ in range(TRIES_MAX):
            if not self._planned:
                break
            self._began = float("-inf")
            time.sleep(self._act())
        assert not self._planned, "erasing or rotating keys fails without any fault"
        self._asker.close()

    def _act(self) -> float:
        if not self._planned or time.monotonic() - self._began < self._planned[0][0]:
            return LOOK_S
        if not self._planned[0][1]():
            return AGAIN_S
        del self._planned[0]
        return LOOK_S

    def _erase(self, tenant: Tenant) -> bool:
        act = Act(tenant.name, "erase", ERASED)
        self._asker.ask(act, "POST", f"/v1/subjects/{ERASED}/erase", token=tenant.owner)
        return act.done

    def rotate(self) -> bool:
        """A new key-encryption key in front of the others, and `trident keys rotate`."""
        file = Path(self._installation.env[keks.FILE])
        if len(file.read_text().splitlines()) <= self.rotations + 1:
            write_private(file, f"{keks.new_entry()}\n{file.read_text()}")
        done = self._trident("keys", "rotate")
        self._history.strike("keys rotated", f"exit status {done}")
        self.rotations += done == 0
        return done == 0

    def take_old_keys_out(self) -> None:
        """Whatever is needed is wrapped under the newest key by now; raises AssertionError."""
        assert self._trident("keys", "rotate") == 0, "keys cannot be rotated without any fault"
        file = Path(self._installation.env[keks.FILE])
        write_private(file, file.read_text().splitlines()[0] + "\n")

    def _trident(self, *arguments: str) -> int:
        try:
            return subprocess.run(
                [sys.executable, "-m", "cli.main", *arguments],
                cwd=ROOT,
                env=self._installation.environment(),
                capture_output=True,
                timeout=ROTATES_WITHIN_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return -1
