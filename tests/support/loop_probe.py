"""An event loop that measures each of its callbacks in processor time of its thread, and a server run on it.

`python loop_probe.py REPORT -m dispatch_mcp serve` is that server; when it ends, the heavier callbacks stand in REPORT
as JSON. On a loaded machine a callback takes longer, but it does not use more of the processor.
"""

from __future__ import annotations

import asyncio
import gc
import json
import runpy
import sys
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

KEPT_S = 0.005
"""Callbacks below this many seconds are not kept."""


@dataclass(frozen=True)
class Callback:
    """A callback of the loop: when it ended, in seconds since the epoch, and the processor time that it used.

    Python's collector, which begins wherever something is allocated, is counted apart.
    """

    at: float
    cpu_s: float
    collector_s: float = 0.0


class MeasuredLoop(asyncio.SelectorEventLoop):
    """The usual loop, which keeps its heavier callbacks in `callbacks`, and in `report` when it is closed."""

    def __init__(self, report: Path) -> None:
        super().__init__()
        self._report = report
        self.callbacks: list[Callback] = []
        self._collector_s = self._collecting_since = 0.0
        gc.callbacks.append(self._collects)

    def close(self) -> None:
        if not self.is_closed():
            gc.callbacks.remove(self._collects)
            text = json.dumps([asdict(callback) for callback in self.callbacks])
            self._report.write_text(text, encoding="utf-8")
        super().close()

    def _collects(self, phase: str, _info: object) -> None:
        if phase == "start":
            self._collecting_since = time.thread_time()
        else:
            self._collector_s += time.thread_time() - self._collecting_since

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        return super().call_soon(self._measured, callback, args, context=context)

    def _measured(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        began, self._collector_s = time.thread_time(), 0.0
        try:
            callback(*args)
        finally:
            cpu_s = time.thread_time() - began
            if cpu_s >= KEPT_S:
                collector_s = min(cpu_s, self._collector_s)  # of others' threads, too, as far as they met this callback
                self.callbacks.append(Callback(time.time(), cpu_s - collector_s, collector_s))


def read(report: Path) -> list[Callback]:
    return [Callback(**callback) for callback in json.loads(report.read_text(encoding="utf-8"))]


def main() -> None:
    report, _, module, *arguments = sys.argv[1:]

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return MeasuredLoop(Path(report))

    asyncio.set_event_loop_policy(Policy())  # pyright: ignore[reportDeprecated]  # no other way into a program's loop
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
