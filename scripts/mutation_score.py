"""How many small wrong changes of store, runs, engine and review the tests notice.

python scripts/mutation_score.py WORK [--sample 12] [--seed 1] [--enough 12] [--only store/writer …]
    [--tests tests/service …]

Each module of the four rooms gives a random sample of its changes (`mutants.py`); the tests that run the changed line
judge it, those of the module's own name first. The tests are collected once; each change is made in a fork of that
process, in the code of one function, so it costs what its tests cost. Changes outside functions are made in a copy of
the package, in a process of its own. WORK keeps which test runs which line (`lines.json`) and what came of each change
(`results.jsonl`): what stands there is not done again.

What a change did to a program that the tests start is not seen, so the score is rather too low than too high.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import gc
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import coverage
import pytest

import mutants

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "server" / "dispatch_mcp"
ROOMS = ("store", "runs", "engine", "review")
_PLAIN = frozenset({str, bytes, int, float, tuple, list, dict, set, frozenset, re.Pattern})

_ENDS = {0: "survived", 3: "not made", -signal.SIGXCPU: "timeout"}

FILES_OF_A_COPY = 1
"""How many files of tests judge a change outside functions where none has the name of the module."""

EXAMPLES, FEW_EXAMPLES = 50, 5
"""How many examples a property is tried with to judge a change, and to learn which lines it runs."""


@dataclass(frozen=True)
class Test:
    """One test: whether it passed, and which lines of which modules (`store/writer`) it ran.

    `seconds` are of the processor, those of its programs too: how busy the machine is makes no difference.
    """

    seconds: float
    passed: bool
    lines: dict[str, list[int]]


@dataclass(frozen=True)
class Sampled:
    module: str
    source: bytes
    mutant: mutants.Mutant

    @property
    def key(self) -> str:
        return f"{self.module}:{self.mutant.start}:{self.mutant.end}:{self.mutant.after}"

    def made(self) -> bytes:
        return self.mutant.made_in(self.source)

    def path(self) -> str:
        return str(PACKAGE / f"{self.module}.py")


def modules(only: list[str]) -> list[str]:
    names = [
        path.relative_to(PACKAGE).with_suffix("").as_posix() for r in ROOMS for path in (PACKAGE / r).rglob("*.py")
    ]
    names = [name for name in names if not name.endswith("__init__")]
    return sorted(name for name in names if not only or name in only or name.partition("/")[0] in only)


def sample(module: str, count: int, seed: int) -> Iterator[Sampled]:
    source = (PACKAGE / f"{module}.py").read_bytes()
    changes = mutants.of(source)
    random.Random(f"{seed} {module}").shuffle(changes)
    for mutant in changes:
        if count and mutants.compiles(mutant.made_in(source)):
            count -= 1
            yield Sampled(module, source, mutant)


class Run:
    """A session of pytest that collects the tests and, in place of running them, runs them for each change."""

    def __init__(self, work: Path, options: argparse.Namespace) -> None:
        self._work, self._options = work, options
        self._failed = False
        self._tests: dict[str, Test] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = self._failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for item in session.items:
            _look_briefly(item, EXAMPLES)
        self._tests = self._measured(session)
        items = {item.nodeid: item for item in session.items}
        path = self._work / "results.jsonl"
        over = (
            _ends(path).keys()
            if not self._options.again
            else {key for key, end in _ends(path).items() if end == "noticed"}
        )
        with path.open("a", encoding="utf-8") as file:
            for module in modules(self._options.only):
                for change in sample(module, self._options.sample, self._options.seed):
                    if change.key not in over:
                        print(json.dumps(self._judged(change, items)), file=file, flush=True)
        return True

    def _measured(self, session: pytest.Session) -> dict[str, Test]:
        """Returns what each test runs, from WORK or from running each of them once."""
        path = self._work / "lines.json"
        tests = _kept(path)
        for folder in sorted({item.path.parent for item in session.items if item.nodeid not in tests}):
            new = [item for item in session.items if item.nodeid not in tests and item.path.parent == folder]
            _forked(functools.partial(self._measure, new, tests, path), 7_200)
            tests = _kept(path)
        return tests

    def _measure(self, items: list[pytest.Item], tests: dict[str, Test], path: Path) -> None:
        cover = coverage.Coverage(data_file=None, source=[str(PACKAGE)], config_file=False)
        cover.start()
        for item, following in zip(items, [*items[1:], None], strict=True):
            _look_briefly(item, FEW_EXAMPLES)
            self._failed = False
            cover.switch_context(item.nodeid)
            began = sum(os.times()[:4])
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            tests[item.nodeid] = Test(sum(os.times()[:4]) - began, not self._failed, {})
        cover.stop()
        data = cover.get_data()
        for file in data.measured_files():
            module = Path(file).relative_to(PACKAGE).with_suffix("").as_posix()
            for line, names in data.contexts_by_lineno(file).items():
                for name in filter(None, names):
                    tests[name].lines.setdefault(module, []).append(line)
        path.write_text(json.dumps({name: dataclasses.astuple(test) for name, test in tests.items()}))

    def _judged(self, change: Sampled, items: dict[str, pytest.Item]) -> dict[str, object]:
        mutant, names = change.mutant, self._names(change, items)
        began = time.perf_counter()
        end = "not made" if names else "no test"
        if names:
            chosen = [items[name] for name in names]
            end = _forked(lambda: self._run(change, chosen), self._patience_s(names))
        if end == "not made" or (end != "noticed" and self._options.again):
            end = self._in_a_copy(change, names)
        took = round(time.perf_counter() - began, 1)
        print(f"{end:9} {took:6} s {len(names):5} {change.module}:{mutant.line} {mutant.kind}: ", end="")
        print(f"{' '.join(mutant.before.split())[:70]} -> {' '.join(mutant.after.split())[:70]}", flush=True)
        row = {"key": change.key, "module": change.module, "end": end, "tests": len(names), "seconds": took}
        return {**row, **{name: getattr(mutant, name) for name in ("kind", "line", "before", "after", "function")}}

    def _patience_s(self, names: list[str]) -> float:
        return 10 + 2 * sum(self._tests[name].seconds for name in names)

    def _names(self, change: Sampled, items: dict[str, pytest.Item]) -> list[str]:
        """Returns the tests that run the line, or those of the module where it is run by its import alone."""
        module, mutant = change.module, change.mutant
        own = f"test_{module.rpartition('/')[2]}."
        running = [(name, test) for name, test in self._tests.items() if test.passed and name in items]
        if mutant.function:
            names = [pair for pair in running if mutant.line in pair[1].lines.get(module, ())]
        else:  # it is run when the module is loaded: whoever uses the module may notice
            names = [pair for pair in running if module in pair[1].lines or own in pair[0]]
        names.sort(key=lambda pair: (own not in pair[0], pair[1].seconds))
        chosen, seconds = list[str](), 0.0
        for name, test in names:
            if seconds + test.seconds <= self._options.enough or not chosen:
                chosen.append(name)
                seconds += test.seconds
        return chosen

    def _run(self, change: Sampled, items: list[pytest.Item]) -> None:
        """Makes the change in this process and ends it with 1 at the first test that fails, with 3 if it cannot."""
        if not _is_made(change):
            os._exit(3)
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                os._exit(1)

    def _in_a_copy(self, change: Sampled, names: list[str]) -> str:
        place = self._work / "copy"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(PACKAGE, place / "dispatch_mcp", ignore=shutil.ignore_patterns("__pycache__"))
        (place / "dispatch_mcp" / f"{change.module}.py").write_bytes(change.made())
        own = [
            path for path in ROOT.glob("tests/*/test_*.py") if path.stem == f"test_{change.module.rpartition('/')[2]}"
        ]
        counts = Counter(name.partition("::")[0] for name in names)
        files = list(map(str, own)) or [file for file, _ in counts.most_common(FILES_OF_A_COPY)]
        if not files:
            return "no test"
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly", *files]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(place)}, capture_output=True, check=False,
                timeout=300,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "timeout"
        # 2 and 4: the tests could not even be loaded.
        return {0: "survived", 1: "noticed", 2: "noticed", 4: "noticed"}.get(done.returncode, "not made")


def _ends(path: Path) -> dict[str, str]:
    """Returns what came of each change; the last time counts."""
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines() if path.exists() else ())
    return {row["key"]: row["end"] for row in rows}


def _kept(path: Path) -> dict[str, Test]:
    rows: dict[str, tuple[float, bool, dict[str, list[int]]]] = json.loads(path.read_text()) if path.exists() else {}
    return {name: Test(*row) for name, row in rows.items()}


def _look_briefly(item: pytest.Item, examples: int) -> None:
    """Has a property be tried with few examples, and what breaks it not be made smaller."""
    import hypothesis  # noqa: PLC0415  # pytest warns of what is loaded before it

    test = getattr(item, "function", None)
    settings = getattr(test, "_hypothesis_internal_use_settings", None)
    if test and settings:
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        examples = min(examples, settings.max_examples)
        test._hypothesis_internal_use_settings = hypothesis.settings(  # noqa: SLF001  # no other way
            settings, phases=phases, database=None, max_examples=examples
        )


def _is_made(change: Sampled) -> bool:
    """Makes a change in this process; returns False where that takes a process of its own."""
    if change.mutant.function is None:
        return _is_constant_changed(change)
    code = _codes(change.made(), change.path()).get(change.mutant.function)
    functions = [
        each for each in gc.get_objects() if code and isinstance(each, FunctionType)
        and each.__code__.co_filename == code.co_filename and each.__qualname__ == change.mutant.function
    ]  # fmt: skip
    for function in functions:
        if code and len(function.__code__.co_freevars) != len(code.co_freevars):
            return False
    for function in functions:
        function.__code__ = code or function.__code__
    return bool(functions)


def _is_constant_changed(change: Sampled) -> bool:
    """Gives a loaded module the constants of its changed text, as far as they differ and are plain values."""
    module = sys.modules["dispatch_mcp." + change.module.replace("/", ".")]
    fresh = ModuleType(module.__name__)
    fresh.__dict__.update(__file__=module.__file__, __package__=module.__package__)
    exec(compile(change.made(), change.path(), "exec", dont_inherit=True), fresh.__dict__)  # our own text
    is_changed = False
    for name, value in vars(fresh).items():
        old = vars(module).get(name)
        texts = _whole_text(old), _whole_text(value)
        if type(value) is type(old) and type(value) in _PLAIN and texts[0] != texts[1] and " at 0x" not in texts[1]:
            setattr(module, name, value)
            is_changed = True
    return is_changed


def _whole_text(value: object) -> str:
    """Returns a constant as text, with all of its patterns, of which `repr` shows the beginning."""
    try:
        return json.dumps(value, default=lambda each: repr(getattr(each, "pattern", each)))
    except (TypeError, ValueError):
        return repr(value)


def _codes(source: bytes, path: str) -> dict[str, CodeType]:
    """Returns the code of each outermost function of a module, by its qualified name; the last one of a name."""
    codes: dict[str, CodeType] = {}

    def look(code: CodeType) -> None:
        for each in code.co_consts:
            if isinstance(each, CodeType) and "<" not in each.co_qualname:
                codes[each.co_qualname] = each
                if each.co_flags & 0x2 == 0:  # a class body, not a function
                    look(each)

    look(compile(source, path, "exec", dont_inherit=True))
    return codes


def _forked(act: Callable[[], None], patience_s: float) -> str:
    """Returns what became of `act` in a process of its own: noticed, survived or timeout.

    The patience is for its processor time; by the clock it has six times as much and a minute.
    """
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (round(patience_s), resource.RLIM_INFINITY))
        log = os.open(os.environ.get("MUTATION_LOG", os.devnull), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            act()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    until = time.monotonic() + 60 + 6 * patience_s
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return _ENDS.get(os.waitstatus_to_exitcode(status), "noticed")
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "timeout"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--sample", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--enough", type=float, default=12.0, help="seconds of tests for each change")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--again", action="store_true", help="do anew what was not noticed")
    parser.add_argument("--tests", nargs="*", default=[])
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    tests = options.tests or [f"tests/{room}" for room in ROOMS]
    memory = Path("/dev/shm")  # no disk has to be waited for
    base = (memory if memory.is_dir() else options.work.resolve()) / f"mutation-score-{os.getpid()}"
    words = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "-p",
        "no:xdist",
        "--hypothesis-seed=0",
        "--timeout=40",
        f"--basetemp={base}",
    ]
    pytest.main([*words, *tests], plugins=[Run(options.work.resolve(), options)])
    shutil.rmtree(base, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
