"""Large workspaces are read by a process of their own: nobody waits for it, and nothing of it is lost or done twice."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from dispatch_mcp.context import file_index, pack_gatherer
from dispatch_mcp.context.indexing import first_look, index_process, index_reader
from dispatch_mcp.process import file_lock

pytestmark = pytest.mark.anyio

FILES = 620
SINCE = 0.0
"""A moment before any look, on the clock that does not go back."""


@pytest.fixture(scope="module")
def harbour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a workspace of so many files that it is not read on the spot."""
    root = tmp_path_factory.mktemp("harbour")
    for at in range(FILES):
        path = root / f"quay{at // 100}/berth{at}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"def moor_{at}(vessel):\n    return vessel + {at}\n")
    return root


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def turn(state: Path, harbour: Path) -> Iterator[file_lock.FileLock]:
    """Yields the right to read the workspace, taken, as if another process was at it."""
    with file_index.FileIndex(state, harbour) as index:
        lock = file_lock.FileLock(index.path.with_suffix(".turn"))
    with lock:
        yield lock


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what another process does."""
    with anyio.fail_after(120):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.01)


def ids(state: Path, workspace: Path) -> dict[str, int]:
    """Returns the numbers under which files are kept; one that is read again gets a new one."""
    path = file_index.place(state, workspace)
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path, timeout=120)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'files'").fetchone():
            return {}
        return dict(db.execute("SELECT path, id FROM files"))


async def test_a_pack_of_a_large_workspace_waits_until_it_is_read(state: Path, harbour: Path) -> None:
    with pack_gatherer.Gatherer(state, beside=True) as gatherer, anyio.fail_after(120):
        pack = await gatherer.gather(harbour, "Mend moor_607", ["symbol:moor_607"], wait_s=100)
        assert "def moor_607" in pack.text
        assert gatherer.share_read(harbour) == (FILES, 0)
        assert gatherer.progress(harbour) == (FILES, 0)


async def test_a_small_workspace_is_read_on_the_spot_by_no_other_process(state: Path, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "till.py").write_text("def open_till():\n    return 1\n")
    with pack_gatherer.Gatherer(state, beside=True) as gatherer, anyio.fail_after(120):
        assert "def open_till" in (await gatherer.gather(shop, "Mend open_till")).text
        assert gatherer.share_read(shop) is None
        assert gatherer.progress(shop) is None


async def test_whoever_waits_no_longer_gets_what_the_task_probably_needs(
    state: Path, harbour: Path, turn: file_lock.FileLock
) -> None:
    with pack_gatherer.Gatherer(state, beside=True) as gatherer, anyio.fail_after(120):
        pack = await gatherer.gather(harbour, "Mend moor_607", wait_s=0.05)
        share = gatherer.share_read(harbour)
    assert pack.ranked[0] == "quay6/berth607.py"
    assert "def moor_607(vessel)" in pack.text
    assert share is not None
    assert 0 < share.files - share.rest <= first_look.FILES


async def test_packs_of_a_workspace_that_is_being_read_share_a_list_of_its_files(state: Path, tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    (root / "old.py").write_text("def old():\n    return 1\n", "utf-8")
    with file_index.FileIndex(state, root) as index:
        lists: list[frozenset[str]] = []

        def choose(_db: object, states: Mapping[str, object]) -> list[str]:
            lists.append(frozenset(states))
            return []

        began = time.monotonic()
        index.read_first(choose, began)
        (root / "new.py").write_text("def new():\n    return 1\n", "utf-8")
        index.read_first(choose, began)
        index.read_first(choose, time.monotonic() + 1.0)
    first, again, later = lists
    assert again == first == {"old.py"}
    assert later == {"old.py", "new.py"}


async def test_what_was_read_first_is_not_read_again(state: Path, harbour: Path) -> None:
    with file_index.FileIndex(state, harbour) as index:
        index.read_first(lambda _db, states: sorted(states)[:3])
        first = ids(state, harbour)
        index.read_first(lambda _db, states: sorted(states)[:5])
        assert index.refresh().read == FILES - 5
    after = ids(state, harbour)
    assert len(first) == 3
    assert first.items() <= after.items()
    assert len(after) == FILES


async def test_what_has_changed_since_the_last_look_is_read_anew_for_the_pack(state: Path, tmp_path: Path) -> None:
    quay = tmp_path / "quay"
    quay.mkdir()
    for at in range(pack_gatherer.SMALL + 1):
        (quay / f"berth{at}.py").write_text(f"def moor_{at}(vessel):\n    return vessel + {at}\n")
    with pack_gatherer.Gatherer(state, beside=True) as gatherer, anyio.fail_after(120):
        await gatherer.gather(quay, "Mend moor_7", wait_s=100)
        (quay / "berth7.py").write_text("# A new line.\n\n\ndef moor_7(vessel, tide):\n    return vessel - tide\n")
        pack = await gatherer.gather(quay, "Mend moor_7", wait_s=100)
        assert "def moor_7(vessel, tide):\n    return vessel - tide" in pack.text


async def test_a_reader_that_is_killed_leaves_what_it_has_read_and_the_next_goes_on(state: Path, harbour: Path) -> None:
    children: list[int] = []
    reader = index_process.IndexProcess(state, harbour, start=noting(children))
    try:
        reader.ask(SINCE)
        await until(lambda: reader.progress is not None and reader.progress.rest < FILES)
        os.kill(children[0], 9)
        kept = ids(state, harbour)
        assert kept
        with anyio.fail_after(120):
            assert await reader.fresh(time.monotonic(), 100)
        after = ids(state, harbour)
        assert len(after) == FILES
        assert {path: after[path] for path in kept} == kept
        assert len(children) == 2 or reader.progress == (FILES, 0)
    finally:
        reader.close()


async def test_two_servers_on_one_workspace_read_no_file_twice(state: Path, harbour: Path) -> None:
    readers = [index_process.IndexProcess(state, harbour) for _ in range(2)]
    try:
        for reader in readers:
            reader.ask(SINCE)
        with anyio.fail_after(120):
            for reader in readers:
                assert await reader.fresh(SINCE, 100)
        numbers = ids(state, harbour).values()
        assert len(numbers) == max(numbers) == FILES
    finally:
        for reader in readers:
            reader.close()


async def test_a_reader_ends_with_whoever_started_it_in_the_middle_of_its_work(
    state: Path, harbour: Path, turn: file_lock.FileLock
) -> None:
    children: list[int] = []
    reader = index_process.IndexProcess(state, harbour, start=noting(children))
    reader.ask(SINCE)
    await until(lambda: reader.progress is not None)
    reader.close()
    with pytest.raises(ProcessLookupError):
        os.kill(children[0], 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process says so of another")
async def test_a_reader_lets_others_go_first_and_has_a_bound_to_its_memory(
    state: Path, harbour: Path, turn: file_lock.FileLock
) -> None:
    children: list[int] = []
    reader = index_process.IndexProcess(state, harbour, start=noting(children))
    try:
        reader.ask(SINCE)
        await until(lambda: reader.progress is not None)
        [child] = children
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, child) == min(19, own + index_reader.NICENESS)
        limits = await anyio.Path(f"/proc/{child}/limits").read_text()
        [space] = [line for line in limits.splitlines() if line.startswith("Max address space")]
        assert str(index_reader.MEMORY_BYTES) in space
        # For who is not root the kernel takes one such word in a tenth of a second, whoever says it.
        assert os.geteuid() or niceness_of_session(child) in ("", str(index_reader.NICENESS))
    finally:
        reader.close()


def niceness_of_session(pid: int) -> str:
    """Returns how a process's session gives way, empty where a system shares nothing out by sessions."""
    group = Path(f"/proc/{pid}/autogroup")
    return group.read_text().rpartition(" ")[2].strip() if group.exists() else ""


def noting(children: list[int]) -> index_process.Start:
    """Returns what starts the real process and notes its number."""

    def start(
        module: str, arguments: Sequence[str], folder: Path, hear: index_process.line_child.Hear
    ) -> index_process.line_child.LineChild:
        child = index_process.line_child.LineChild(module, arguments, folder, hear)
        children.append(child.pid)
        return child

    return start


class Child:
    """A process that says what it is told to, and takes questions until it is over."""

    def __init__(self, hear: index_process.line_child.Hear) -> None:
        self.hear = hear
        self.questions: list[int] = []
        self.is_over = False
        self.pid = 0

    def send(self, line: bytes) -> bool:
        if not self.is_over:
            self.questions.append(int(line))
        return not self.is_over

    def close(self) -> None:
        self.end()

    def end(self) -> None:
        self.is_over = True
        self.hear(b"")


@pytest.fixture
def children() -> list[Child]:
    return []


@pytest.fixture
def scripted(children: list[Child], tmp_path: Path) -> index_process.IndexProcess:
    def start(_module: str, _arguments: Sequence[str], _folder: Path, hear: index_process.line_child.Hear) -> Child:
        children.append(Child(hear))
        return children[-1]

    return index_process.IndexProcess(tmp_path, tmp_path / "shop", start=start)  # type: ignore[arg-type]  # a double


def test_one_question_serves_all_who_ask_before_its_answer(
    scripted: index_process.IndexProcess, children: list[Child]
) -> None:
    for _ in range(3):
        scripted.ask(SINCE)
    assert children[0].questions == [1]
    assert not scripted.is_fresh(SINCE)
    children[0].hear(b'{"files": 9, "rest": 4}')
    assert scripted.progress == (9, 4)
    assert not scripted.is_fresh(SINCE)
    children[0].hear(b'{"files": 9, "rest": 0, "look": 1}')
    assert scripted.is_fresh(SINCE)
    scripted.ask(SINCE)
    assert children[0].questions == [1]
    scripted.ask(time.monotonic() + 1)
    assert children[0].questions == [1, 2]


@pytest.mark.parametrize("line", [b"garbage", b"[]", b"{}", b'{"files": "x"}', b'{"rest": 3}', b"\xff", b"null", b"7"])
def test_a_line_that_makes_no_sense_changes_nothing(
    scripted: index_process.IndexProcess, children: list[Child], line: bytes
) -> None:
    scripted.ask(SINCE)
    children[0].hear(line)
    assert scripted.progress is None
    assert not scripted.is_fresh(SINCE)


def test_a_process_that_went_while_nothing_was_asked_is_started_again(
    scripted: index_process.IndexProcess, children: list[Child]
) -> None:
    scripted.ask(SINCE)
    children[0].hear(b'{"files": 1, "rest": 0, "look": 1}')
    children[0].end()
    scripted.ask(time.monotonic() + 1)
    assert [child.questions for child in children] == [[1], [2]]
    children[0].hear(b"")  # the old one is heard of late
    children[1].hear(b'{"files": 2, "rest": 0, "look": 2}')
    assert scripted.progress == (2, 0)
    assert not scripted.is_broken


def test_a_process_that_dies_of_every_question_is_left_alone(
    scripted: index_process.IndexProcess, children: list[Child]
) -> None:
    for _ in range(5):
        scripted.ask(SINCE)
        if children[-1].is_over:
            break
        children[-1].hear(b'{"fault": "not enough memory"}')
        children[-1].end()
    assert len(children) == index_process.MOST_FAULTS
    assert scripted.is_broken


async def test_where_no_process_can_be_started_the_workspace_is_read_on_the_spot(
    state: Path, harbour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(state / "no-such-python"))
    with pack_gatherer.Gatherer(state, beside=True) as gatherer, anyio.fail_after(120):
        await gatherer.gather(harbour, "Mend moor_7", wait_s=100)
        pack = await gatherer.gather(harbour, "Mend moor_7", ["symbol:moor_7"], wait_s=100)
        assert "def moor_7" in pack.text
        assert gatherer.share_read(harbour) is None, "the pack is made of all of it"
        assert gatherer.progress(harbour) is None


async def test_work_that_is_expected_has_the_workspace_read_and_none_is_expected_in_the_root(
    state: Path, harbour: Path
) -> None:
    with pack_gatherer.Gatherer(state, beside=True) as gatherer:
        assert not gatherer.is_expected(harbour)
        gatherer.expect("/")
        gatherer.expect(harbour)
        assert gatherer.is_expected(harbour)
        await until(lambda: gatherer.progress(harbour) == (FILES, 0))
    assert [path.name for path in (state / "context").glob("*.db")] == [file_index.place(state, harbour).name]


def test_how_an_index_stands_is_told_without_making_one(state: Path, harbour: Path) -> None:
    assert file_index.standing(state, harbour) is None
    assert list(state.iterdir()) == []
    with file_index.FileIndex(state, harbour) as index:
        index.refresh()
    standing = file_index.standing(state, harbour)
    assert standing is not None
    assert standing.progress == (FILES, 0)
    assert standing.size >= file_index.place(state, harbour).stat().st_size
    file_index.place(state, harbour).write_bytes(b"no database" * 100)
    assert file_index.standing(state, harbour) is None
