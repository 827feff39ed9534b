"""What every test gets: an async backend, an own home, and the promise marker."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

sys.dont_write_bytecode = False  # compiling our code and tests anew is half of a start, here and in every child
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.path.insert(0, str(Path(__file__).parent / "support"))
import browser  # noqa: E402
import case_tables  # noqa: E402
import fake_provider  # noqa: E402
import thoroughness  # noqa: E402
import turns  # noqa: E402

hypothesis.settings.register_profile("house", deadline=None, print_blob=True, max_examples=thoroughness.examples(100))
hypothesis.settings.load_profile("house")

MEMORY, ROOM = Path("/dev/shm"), 3 << 30  # pytest makes a folder of our own in it
"""A file system in memory, as Linux has it, and the bytes that have to be free there."""

FEW = 100
"""Modules up to which a run of tests is of somebody who works on them, and has every case, each by itself."""

GARBAGE = (20_000, 20, 20)
"""After how much garbage is looked for in the process of the tests: seldomer than usual, when it took 4 to 7 % of the
processor time of a run."""

_INHERITED = ("ANTHROPIC_", "CLAUDE", "DISPATCH_MCP_", "GIT_", "MCP_", "XDG_")
_NUMBERS = itertools.count()
_KEPT = frozenset({"DISPATCH_MCP_CHAOS"})
_GIT_IDENTITY = {
    "GIT_AUTHOR_NAME": "A Tester",
    "GIT_AUTHOR_EMAIL": "tester@example.invalid",
    "GIT_COMMITTER_NAME": "A Tester",
    "GIT_COMMITTER_EMAIL": "tester@example.invalid",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background, which children would inherit
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # What modules share is made before a test has its own home: no git setting of this machine's user is in that.
    os.environ |= {**_GIT_IDENTITY, "GIT_CONFIG_GLOBAL": os.devnull}
    if _has_room_in_memory() and not config.option.basetemp:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    config.addinivalue_line("markers", "promise(id): shows a promise that tests/promises.toml lists as shown")
    config.addinivalue_line("markers", "real_home: runs with the home and environment of the machine")


def _has_room_in_memory() -> bool:
    """Returns whether the tests' folders go where a flush costs nothing; chaos in full has a real disk."""
    is_writable = os.access(MEMORY, os.W_OK | os.X_OK) and os.environ.get("DISPATCH_MCP_CHAOS") != "full"
    return is_writable and shutil.disk_usage(MEMORY).free >= ROOM


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("property")
        if item.get_closest_marker("slice"):
            item.add_marker("chaos")
    if len({item.path for item in items}) > FEW and not thoroughness.FULL:
        _slice(config, items)
        items[:] = case_tables.joined(items, {"own_home", "git_template", "request", "tmp_path_factory"})
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = turns.arranged(items, workers, lambda item: item.get_closest_marker("long") is not None)


def _slice(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves of the tables that are marked `slice` one case in so many; which, is drawn like the order of the tests."""
    turn = getattr(config.option, "randomly_seed", 0)
    kept = set(thoroughness.sliced(sorted(items, key=lambda item: item.nodeid), _table, turn))
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def _table(item: pytest.Item) -> tuple[str, int]:
    marker = item.get_closest_marker("slice")
    if marker is None:
        return item.nodeid, 1
    return marker.kwargs.get("table", item.nodeid.partition("[")[0]), marker.args[0]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Looks for no garbage among what is collected: neither meanwhile, nor each time that a test has left some."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        gc.enable()


def pytest_unconfigure() -> None:
    gc.freeze()  # what ends with the process is looked through by nobody: that takes seconds


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def git_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns what `git init` copies: no samples of hooks, and no look for something to tidy after each commit."""
    template = tmp_path_factory.mktemp("template")
    for name in ("hooks", "info"):
        (template / name).mkdir()
    (template / "config").write_text("[maintenance]\n\tauto = false\n")
    return template


@pytest.fixture(autouse=True)
def own_home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, git_template: Path
) -> Iterator[Path | None]:
    """Returns the home that this test has to itself; None under the `real_home` marker.

    State goes to `<home>/state`. The interpreter of the tests comes first on PATH, because a version
    manager's shims stop working under another home.
    """
    if request.node.get_closest_marker("real_home"):
        yield None
        return
    home, failures = tmp_path_factory.getbasetemp() / f"home{next(_NUMBERS)}", request.session.testsfailed
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_INHERITED) and name not in _KEPT:
                patch.delenv(name)
        for name, value in _GIT_IDENTITY.items():
            patch.setenv(name, value)
        patch.setenv("GIT_TEMPLATE_DIR", str(git_template))
        patch.setenv("HOME", str(home))
        patch.setenv("USERPROFILE", str(home))
        patch.setenv("DISPATCH_MCP_HOME", str(home / "state"))
        patch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
        yield home
    if request.session.testsfailed == failures:
        try:
            home.rmdir()  # as most tests leave nothing there
        except OSError:
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def _provider() -> Iterator[fake_provider.Provider]:
    fake_provider.load()
    with fake_provider.opened() as fake:
        yield fake


@pytest.fixture
def provider(_provider: fake_provider.Provider) -> fake_provider.Provider:
    """A model's provider on loopback that has heard nothing yet."""
    _provider.reset()
    return _provider


@pytest.fixture(scope="session")
def _chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    with browser.opened(tmp_path_factory.mktemp("chromium")) as program:
        yield program


@pytest.fixture
def chromium(_chromium: browser.Browser) -> Iterator[browser.Browser]:
    """A browser without any page, which has kept nothing of an earlier one."""
    yield _chromium
    _chromium.forget()
