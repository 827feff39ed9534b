"""Whether a dispatcher has started a process: by the depth it inherits, or by what stands above it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from dispatch_mcp.process import ancestry

OPENS = """
import subprocess, sys
with open(sys.argv[1]) as file:
    subprocess.run([sys.executable, "-c", sys.argv[2], *sys.argv[3:]])
"""
ASKS = """
import subprocess, sys, pathlib
from dispatch_mcp.process import ancestry
print(ancestry.sign_of_dispatcher({}, pathlib.Path(sys.argv[1])) or "nothing")
"""
BELOW = """
import subprocess, sys
subprocess.run(["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", sys.argv[1], *sys.argv[2:]])
"""
ONLY_PROC = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux says which files are open")


@pytest.mark.parametrize("depth", ["1", "2", " 1 ", "10", "yes"])
def test_the_depth_that_children_inherit_shows_a_dispatcher(tmp_path: Path, depth: str) -> None:
    assert "DISPATCH_MCP_DEPTH" in ancestry.sign_of_dispatcher({"DISPATCH_MCP_DEPTH": depth}, tmp_path)


@pytest.mark.parametrize("environment", [{}, {"DISPATCH_MCP_DEPTH": ""}, {"DISPATCH_MCP_DEPTH": "0"}])
def test_nothing_above_shows_no_dispatcher(tmp_path: Path, environment: dict[str, str]) -> None:
    assert ancestry.sign_of_dispatcher(environment, tmp_path) == ""


def answer(opened: Path, home: Path) -> str:
    """What a process says that stands two below one which has a file open."""
    command = [sys.executable, "-c", OPENS, str(opened), BELOW, ASKS, str(home)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()


@ONLY_PROC
def test_a_process_far_above_that_has_the_state_open_is_a_dispatcher(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "state.db").write_text("")
    (tmp_path / "homely").write_text("")
    (tmp_path / "link").symlink_to(home)
    assert answer(home / "state.db", home).endswith("above it is a dispatcher")
    assert answer(home / "state.db", tmp_path / "link").endswith("above it is a dispatcher")
    assert answer(tmp_path / "homely", home) == "nothing"


@ONLY_PROC
@pytest.mark.parametrize(
    ("name", "is_dispatcher"),
    [
        *(("state.db", True), ("state.db-wal", True), ("state.db-shm", True), ("owners/1.lock", True)),
        *(("config.toml", False), (".config.toml.swp", False), ("my.log", False), ("runs/state.db", False)),
        ("owners/notes.txt", False),
    ],
)
def test_an_editor_or_a_log_in_the_folder_of_the_state_is_no_dispatcher(
    tmp_path: Path, name: str, *, is_dispatcher: bool
) -> None:
    for folder in ("owners", "runs"):
        (tmp_path / "home" / folder).mkdir(parents=True)
    (tmp_path / "home/state.db").write_text("")
    (tmp_path / "home" / name).write_text("")
    assert (answer(tmp_path / "home" / name, tmp_path / "home") != "nothing") is is_dispatcher


@ONLY_PROC
@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_folder_of_links_to_the_files_of_the_state_is_the_state_under_another_name(tmp_path: Path, link: str) -> None:
    for name in ("home", "home/owners", "other", "copy"):
        (tmp_path / name).mkdir()
    for name in ("state.db", "owners/1.lock", "owners/other.lock"):
        (tmp_path / "home" / name).write_text("")
    getattr(tmp_path / "other/state.db", link)(tmp_path / "home/state.db")
    getattr(tmp_path / "copy/1.lock", link)(tmp_path / "home/owners/1.lock")
    (tmp_path / "copy/null").symlink_to("/dev/null")
    assert answer(tmp_path / "home/state.db", tmp_path / "other").endswith("above it is a dispatcher")
    assert answer(tmp_path / "home/owners/1.lock", tmp_path / "copy").endswith("above it is a dispatcher")
    assert answer(tmp_path / "home/state.db", tmp_path / "copy") == "nothing"
    assert answer(Path("/dev/null"), tmp_path / "copy") == "nothing"


HOLDS = """
import fcntl, os, subprocess, sys
with open(sys.argv[1], "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    subprocess.run(sys.argv[2:])
"""
ALONE = {
    "nobody sees": ["unshare", "-rpf", "--mount-proc"],
    "nothing is told": ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"],
}


def may_be_alone() -> bool:
    """Whether this machine lets a program leave its namespaces, as containers and some systems do not."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return all(
            subprocess.run([*words, "true"], check=False, capture_output=True, timeout=120).returncode == 0
            for words in ALONE.values()
        )
    return False


@ONLY_PROC
@pytest.mark.skipif(not may_be_alone(), reason="programs cannot leave their namespaces here")
@pytest.mark.parametrize("words", ALONE.values(), ids=ALONE)
def test_where_the_dispatcher_of_a_state_cannot_be_seen_nobody_is_taken_for_a_person(
    tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "owners").mkdir()
    asks = [*words, sys.executable, "-c", ASKS, str(tmp_path)]
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "owners/1.lock"), *asks]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()
    assert answer.endswith("cannot be seen from here")
    (tmp_path / "owners/2.lock").write_text("")
    (tmp_path / "owners/1.lock").unlink()
    assert subprocess.run(asks, capture_output=True, text=True, check=True, timeout=120).stdout.strip() == "nothing"


@ONLY_PROC
@pytest.mark.skipif(not may_be_alone(), reason="programs cannot leave their namespaces here")
def test_the_holder_of_an_owners_lock_above_is_a_dispatcher_also_for_another_namespace_of_users(tmp_path: Path) -> None:
    (tmp_path / "owners").mkdir()
    asks = ["unshare", "-r", sys.executable, "-c", ASKS, str(tmp_path)]
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "owners/1.lock"), *asks]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()
    assert answer.endswith("above it is a dispatcher")


@ONLY_PROC
def test_a_dispatcher_beside_this_process_is_seen_and_stands_above_nobody(tmp_path: Path) -> None:
    (tmp_path / "owners").mkdir()
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "owners/1.lock"), "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(b"held\n")
        other.stdin.flush()
        assert other.stdout.readline() == b"held\n"
        assert ancestry.sign_of_dispatcher({}, tmp_path) == ""
        other.stdin.close()


HEAD = "1 0 /sbin/init\n20 1 /bin/zsh -l\n"
DISPATCHERS = [
    ".venv/bin/python .venv/bin/dispatch-mcp serve",
    ".venv/bin/dispatch-mcp --home state run plan.json",
    "/usr/bin/python3 -m dispatch_mcp worker --idle 1",
]
OTHERS = [
    "/bin/sh -c dispatch-mcp approve latest",
    "vim dispatch-mcp run",
    "uv run dispatch-mcp approve latest",
    ".venv/bin/dispatch-mcp status",
    "grep -r dispatch_mcp serve",
]


@pytest.mark.parametrize("words", DISPATCHERS)
def test_a_dispatcher_is_known_by_its_command_line_where_files_are_not_told(words: str) -> None:
    assert ancestry.among(f"{HEAD}30 20 {words}\n40 30 pytest -q\n50 40 sh\n", 50) == 30
    assert ancestry.among(f"{HEAD}30 20 {words}\n40 20 pytest -q\n50 40 sh\n", 50) == 0


@pytest.mark.parametrize("words", OTHERS)
def test_other_programs_are_no_dispatchers(words: str) -> None:
    assert ancestry.among(f"{HEAD}30 20 {words}\n40 30 sh\n", 40) == 0


@pytest.mark.parametrize("listing", ["", "no process\n", "5 5 loop\n", "5 6 a\n6 5 b\n"])
def test_a_listing_that_says_nothing_of_use_names_no_dispatcher(listing: str) -> None:
    assert ancestry.among(listing, 5) == 0
