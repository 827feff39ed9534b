from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from dispatch_mcp.context import file_index, pack_gatherer

APP = "def fetch_orders(limit):\n    return limit\n\n\nclass Basket:\n    def total(self):\n        return 0\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Returns a workspace with source, a test, documentation, and much that is not worth indexing."""
    root = tmp_path / "project"
    files = {
        "shop/orders.py": APP,
        "shop/billing.py": "from shop import orders\n\n\ndef charge_card(order):\n    return orders.load(order)\n",
        "tests/test_orders.py": "from shop import orders\n\n\ndef test_fetch():\n    assert orders.fetch_orders(1)\n",
        "docs/orders.md": "# Orders\n\nHow orders are fetched.\n",
        "node_modules/x/index.js": "function fetchOrders() {}\n",
        "package-lock.json": "{}\n",
        "shop/app.min.js": "var a=1\n",
        "shop/logo.png": "\x89PNG\0\0",
        "shop/blob.py": "x = '\0'\n",
        "shop/huge.py": "y = 1\n" * 80_000,
        "shop/wide.js": "z" * 30_000,
        ".env": "SECRET=1\n",
        "ignored/notes.py": "def ignored(): ...\n",
        ".gitignore": "ignored/\n*.tmp\n!keep.tmp\n",
        "a.tmp": "tmp\n",
        "keep.tmp": "kept words\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1" if "PNG" in text else "utf-8"))
    return root


INDEXED = {"shop/orders.py", "shop/billing.py", "tests/test_orders.py", "docs/orders.md", "keep.tmp", ".gitignore"}


def indexed(state: Path, root: Path) -> set[str]:
    """Returns the files that have parts in the index."""
    with file_index.FileIndex(state, root) as opened:
        opened.refresh()
        return {row[0] for row in opened.db.execute("SELECT DISTINCT path FROM files JOIN chunks ON file = files.id")}


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def test_a_folder_without_git_is_indexed_but_for_what_is_ignored_or_dull(project: Path, tmp_path: Path) -> None:
    assert indexed(tmp_path / "state", project) == INDEXED


def test_git_says_what_is_ignored_where_it_is_there(project: Path, tmp_path: Path) -> None:
    git(project, "init", "-q")
    (project / ".git/info/exclude").write_text("docs/\n")
    assert indexed(tmp_path / "state", project) == INDEXED - {"docs/orders.md"}


def test_a_hostile_git_configuration_starts_no_program(project: Path, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    git(project, "init", "-q")
    git(project, "add", "shop")
    git(project, "commit", "-q", "-m", "Start")
    hook = project / "hook.sh"
    hook.write_text(f"#!/bin/sh\ntouch {trace}\n")
    hook.chmod(0o755)
    for name in ("core.fsmonitor", "gpg.program", "core.pager", "diff.external", "core.sshCommand"):
        git(project, "config", name, str(hook))
    git(project, "config", "log.showSignature", "true")
    trace.unlink(missing_ok=True)
    assert "shop/orders.py" in indexed(tmp_path / "state", project)
    assert not trace.exists()


def test_only_what_has_changed_is_read_again(project: Path, tmp_path: Path) -> None:
    with file_index.FileIndex(tmp_path / "state", project) as opened:
        first = opened.refresh()
        assert first.read == first.files
        assert opened.refresh().read == 0
        (project / "shop/orders.py").write_text(APP.replace("fetch_orders", "load_invoices"))
        (project / "docs/orders.md").unlink()
        (project / "shop/new.py").write_text("def brand_new(): ...\n")
        again = opened.refresh()
        assert (again.read, again.removals) == (2, 2)
    with pack_gatherer.Gatherer(tmp_path / "state") as gatherer:
        text = gatherer.pack(project, "load invoices", ["symbol:load_invoices", "symbol:fetch_orders"]).text
    assert "def load_invoices" in text
    assert "not found: symbol:fetch_orders" in text


def test_an_index_that_is_changed_again_and_again_is_built_anew_and_stays_right(project: Path, tmp_path: Path) -> None:
    lines = "".join(f"def part_{at}():\n    return {at}\n\n\n" for at in range(300))
    with file_index.FileIndex(tmp_path / "state", project) as opened:
        for turn in range(12):
            (project / "shop/orders.py").write_text(lines.replace("part", f"turn{turn}"))
            opened.refresh()
        alive = opened.db.execute("SELECT count(*) FROM chunks").fetchone()[0]
        words = opened.db.execute("SELECT count(*) FROM code_docsize").fetchone()[0]
    assert words < alive + 2_600
    with pack_gatherer.Gatherer(tmp_path / "state") as gatherer:
        assert "turn11_7" in gatherer.pack(project, "turn11 7", budget=1_000).text


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut", "other version", "folder of logs"])
def test_a_damaged_index_is_built_anew(project: Path, tmp_path: Path, damage: str) -> None:
    state = tmp_path / "state"
    with file_index.FileIndex(state, project) as opened:
        opened.refresh()
        path = opened.path
        if damage == "other version":
            opened.db.execute("PRAGMA user_version = 99")
        opened.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    data = path.read_bytes()
    if damage == "garbage":
        path.write_bytes(b"no index at all " * 1_000)
    if damage == "empty":
        path.write_bytes(b"")
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    if damage == "folder of logs":
        Path(f"{path}-wal").write_bytes(b"\xff" * 5_000)
    with pack_gatherer.Gatherer(state) as gatherer:
        assert "def fetch_orders" in gatherer.pack(project, "fetch the orders").text


def test_an_index_that_somebody_else_replaces_is_opened_again(project: Path, tmp_path: Path) -> None:
    with (
        file_index.FileIndex(tmp_path / "state", project) as one,
        file_index.FileIndex(tmp_path / "state", project) as other,
    ):
        one.refresh()
        other.refresh()
        one.discard()
        one.refresh()
        assert other.refresh().read == 0
        assert (
            other.db.execute("SELECT count(*) FROM files").fetchone()
            == one.db.execute("SELECT count(*) FROM files").fetchone()
        )


def gathered(state: str, root: str, turn: int) -> str:
    """Writes a file, gathers, and returns the pack; carried out in several processes at once."""
    Path(root, "shop", f"made_{turn}.py").write_text(f"def made_{turn}_by_a_process():\n    return {turn}\n")
    with pack_gatherer.Gatherer(Path(state)) as gatherer:
        packs = [gatherer.pack(root, f"fetch orders, made {turn} by a process", budget=2_000) for _ in range(3)]
    return packs[-1].text


def test_several_processes_share_one_index_and_none_fails(project: Path, tmp_path: Path) -> None:
    work = [(str(tmp_path / "state"), str(project), turn) for turn in range(12)]
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        texts = list(pool.map(gathered, *zip(*work, strict=True)))
    for turn, text in enumerate(texts):
        assert f"def made_{turn}_by_a_process" in text
    assert len(list((tmp_path / "state" / "context").glob("*.db"))) == 1


def test_the_index_lies_outside_the_workspace_for_its_user_only(project: Path, tmp_path: Path) -> None:
    before = sorted(project.rglob("*"))
    with file_index.FileIndex(tmp_path / "state", project) as opened:
        opened.refresh()
        assert not opened.path.is_relative_to(project)
        if os.name == "posix":
            assert opened.path.stat().st_mode & 0o077 == 0
            assert opened.path.parent.stat().st_mode & 0o077 == 0
    assert sorted(project.rglob("*")) == before


def test_a_workspace_is_known_by_its_real_place(project: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(project)
    assert file_index.place(tmp_path, tmp_path / "alias") == file_index.place(tmp_path, project)


def test_links_are_not_indexed(project: Path, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("def other(): ...\n")
    (project / "linked.py").symlink_to(tmp_path / "other.py")
    (project / "folder").symlink_to(project / "shop")
    assert indexed(tmp_path / "state", project) == INDEXED


def test_past_commits_with_alike_subjects_speak_for_their_files(project: Path, tmp_path: Path) -> None:
    git(project, "init", "-q")
    git(project, "add", "shop")
    git(project, "commit", "-q", "-m", "Start")
    (project / "shop/billing.py").write_text("def charge_card(order):\n    return order\n")
    git(project, "commit", "-q", "-a", "-m", "Repair the quarterly reconciliation")
    with pack_gatherer.Gatherer(tmp_path / "state") as gatherer:
        pack = gatherer.pack(project, "quarterly reconciliation is wrong again")
        assert pack.ranked[0] == "shop/billing.py"
        (project / "shop/orders.py").write_text(APP + "\n")
        git(project, "commit", "-q", "-a", "-m", "Mend the annual audit trail")
        assert gatherer.pack(project, "annual audit trail").ranked[0] == "shop/orders.py"


@pytest.mark.skipif(sys.platform == "win32", reason="names of bytes are a thing of POSIX")
def test_names_that_are_no_text_are_passed_over(project: Path, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(project) + b"/caf\xe9.py")).write_text("def cafe(): ...\n")
    assert indexed(tmp_path / "state", project) == INDEXED


@pytest.mark.promise("S14")
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_nobody_else_can_look_into_an_index_whatever_the_umask(project: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        home = tmp_path / "new" / "home"
        with pack_gatherer.Gatherer(home) as gatherer:
            gatherer.pack(project, "fetch orders")
            found = {path: path.stat().st_mode & 0o777 for path in [home.parent, home, *home.rglob("*")]}
    finally:
        os.umask(before)
    assert len(found) > 3
    assert {path.name: oct(mode) for path, mode in found.items() if mode & 0o077} == {}


def test_indexes_of_workspaces_that_are_gone_make_room_for_new_ones(project: Path, tmp_path: Path) -> None:
    gone, kept = tmp_path / "gone", tmp_path / "kept"
    for folder in (gone, kept):
        shutil.copytree(project, folder)
    with pack_gatherer.Gatherer(tmp_path / "home") as gatherer:
        for folder in (gone, kept):
            gatherer.pack(folder, "fetch orders")
    shutil.rmtree(gone)
    with pack_gatherer.Gatherer(tmp_path / "home") as gatherer:
        gatherer.pack(project, "fetch orders")
    left = {path.name.rpartition("-")[0] for path in (tmp_path / "home" / "context").iterdir()}
    assert left == {"kept", "project"}


def test_a_state_directory_that_cannot_be_written_is_said_in_a_sentence(project: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in its place")
    with (
        pack_gatherer.Gatherer(tmp_path / "state") as gatherer,
        pytest.raises(file_index.Damaged, match="cannot serve"),
    ):
        gatherer.pack(project, "fetch orders")
