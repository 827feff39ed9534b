"""Fuzzing of every reader and of the wire: `python tests/fuzz/fuzz.py [--seconds N] [--jobs N] [NAME…]`.

Each reader gets damaged texts for that long, in a process of its own; it may refuse them with its own errors, but it
raises nothing else and takes no second. `wire` is a real server behind its pipe. Exit code 1 when anything was found;
what was found is printed whole, to become a line of the corpus.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import damage
import readers
import wire_lines
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky

HANG_S = 1.0
"""Seconds of processor that reading one text may take."""

_BATCH = 500
_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


class Hang(BaseException):
    """Reading a text took too long; no reader catches this."""


class Count:
    """What was tried of one reader, and how long the slowest took, in seconds of processor."""

    def __init__(self) -> None:
        self.tried = 0
        self.refused = 0
        self.slowest_s = 0.0


def one(name: str, text: str, folder: Path, count: Count) -> None:
    """Reads a text once. Raises what the reader may not raise, and Hang."""
    reader = readers.READERS[name]
    count.tried += 1
    began = time.process_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    try:
        reader.read(text, folder)
    except reader.refusals:
        count.refused += 1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    count.slowest_s = max(count.slowest_s, time.process_time() - began)


def patiently(name: str, text: str, folder: Path, count: Count, tries: int = 3) -> None:
    """Reads a text, and again where that took too long: a machine under load may spoil one time, not each of them."""
    for left in reversed(range(tries)):
        try:
            one(name, text, folder, count)
        except Hang:
            if not left:
                raise
        else:
            break


def interrupt(_number: int, _frame: FrameType | None) -> None:
    raise Hang


def reader_for(name: str, seconds: float, number: int, *, batch_size: int = _BATCH, least: int = 0) -> Count:
    """Reads damaged texts for so long, in `least` batches. Raises at the first that is not read as it should be."""
    signal.signal(signal.SIGVTALRM, interrupt)
    count, until = Count(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for text in readers.corpus(name):
            patiently(name, text, folder, count)
        batches = 0
        while batches < least or time.monotonic() < until:
            number, batches = number + 1, batches + 1

            @seed(number)
            @settings(
                max_examples=batch_size,
                deadline=None,
                database=None,
                suppress_health_check=_QUIET,
                phases=(Phase.generate, Phase.shrink),
            )
            @given(damage.texts(readers.corpus(name)))
            def batch(text: str) -> None:
                try:
                    patiently(name, text, folder, count)
                except Hang:
                    raise AssertionError(f"{name} takes more than {HANG_S} s for {text!r}") from None

            try:
                batch()
            except Flaky as doubt:  # slow once and not again: the clock, not the reader
                print(f"{name}: {str(doubt)[:200]}")
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"wire, {', '.join(readers.READERS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each (default: 60)")
    parser.add_argument("--jobs", type=int, default=2, help="side by side (default: 2)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    names = options.names or [*readers.READERS, "wire"]
    if len(names) > 1:
        return side_by_side(names, options)
    name = names[0]
    if name == "wire":
        line = wire_lines.told(options.seconds, options.seed)
    else:
        count = reader_for(name, options.seconds, options.seed)
        line = f"{count.tried} texts, {count.refused} refused, slowest {count.slowest_s:.3f} s"
    print(f"{name}: {line}, seed {options.seed}", flush=True)
    return 0


def side_by_side(names: list[str], options: argparse.Namespace) -> int:
    """Fuzzes each name in a process of its own, some at a time; returns 1 when one of them has found something."""
    waiting, running, found = list(names), list[tuple[str, subprocess.Popen[bytes]]](), list[str]()
    while waiting or running:
        while waiting and len(running) < options.jobs:
            name = waiting.pop(0)
            arguments = [name, "--seconds", str(options.seconds), "--seed", str(options.seed)]
            running.append((name, subprocess.Popen([sys.executable, __file__, *arguments])))
        name, process = running.pop(0)
        found += [name] if process.wait() else []
    print(f"found something: {', '.join(found)}" if found else "nothing was found")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
