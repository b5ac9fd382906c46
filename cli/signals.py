"""SIGINT and SIGTERM, for all runs of this process: the first lets calls under way end, the second ends at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

from promptc.runners.effects import Effects
from promptc.spec.errors import Interrupted

NUMBERS = (signal.SIGINT, signal.SIGTERM)
STOPPING = "stopping: calls under way are finished and recorded; once more to stop at once"


class Signals:
    """Hears signals in one place and stops every run under way. `note` tells the user, once."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.number = 0
        self._note = note
        self._runs: list[tuple[Effects, asyncio.Task[Any] | None]] = []

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Listen while the block works; the event loop is the running one. Nothing where it cannot be done."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            for number in NUMBERS:
                loop.add_signal_handler(number, self._handle, int(number))
        try:
            yield
        finally:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                for number in NUMBERS:
                    loop.remove_signal_handler(number)

    @contextlib.contextmanager
    def stopping(self, effects: Effects) -> Iterator[None]:
        """Stop this run when a signal comes; the block is its whole work. Raises Interrupted where it was given up."""
        entry = (effects, asyncio.current_task())
        self._runs.append(entry)
        if self.number:
            effects.stop(self.number)
        try:
            yield
        except asyncio.CancelledError:
            if effects.at_once:
                raise effects.interruption() from None
            raise
        finally:
            self._runs.remove(entry)

    def check(self) -> None:
        """Raise Interrupted if a signal came while no run was under way."""
        if self.number:
            raise Interrupted(self.number, "interrupted; everything that was paid for is recorded")

    def _handle(self, number: int) -> None:
        again = bool(self.number)
        self.number = number
        if not again:
            self._note(STOPPING)
        for effects, task in list(self._runs):
            effects.stop(number)
            if again and task is not None:
                task.cancel()
        if again:
            asyncio.get_running_loop().remove_signal_handler(number)
