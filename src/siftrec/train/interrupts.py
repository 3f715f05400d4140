"""SIGTERM and Ctrl-C: a step and a save are finished first, everything else stops at once. And who has seen enough."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from siftrec.errors import Terminated

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupts:
    """While entered, either signal raises `Terminated` or `KeyboardInterrupt`: at once, or inside `held()` when asked.

    Only the main thread can catch signals; entered in another thread, nothing changes.

    Attributes:
        asked: the signal that arrived.
        enough: whoever watches wants no more epochs; set it, and training ends after the one at hand as if it were the last.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.enough = False
        self._held = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._catch) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        impatient = number == signal.SIGINT and self.asked == signal.SIGINT
        self.asked = number
        if impatient or not self._held:
            self.check()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside the block a signal only sets `asked`: it is for the block to look at where stopping is safe."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.check()

    def check(self) -> None:
        """Raise what was asked for, if anything was.

        Raises:
            Terminated: SIGTERM arrived.
            KeyboardInterrupt: SIGINT arrived.
        """
        if self.asked == signal.SIGTERM:
            raise Terminated("stopped by SIGTERM; run again with --resume to go on from the last step")
        if self.asked == signal.SIGINT:
            raise KeyboardInterrupt
