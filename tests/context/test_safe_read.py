from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import traversals

from dispatch_mcp.context import pack_gatherer, safe_read
from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import secret_paths

CANARY = "CANARY-7f3a91"
SWAPS = 1_000


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Returns a workspace with a file outside it, links to that, secrets, and a named pipe."""
    (tmp_path / "outside.txt").write_text(CANARY)
    root = tmp_path / "work"
    (root / "src").mkdir(parents=True)
    (root / "src" / "app.py").write_text("def run():\n    return 1\n")
    for secret in (".env", ".env.local", "prod.env", "id_rsa", "server.pem", ".git/config", ".ssh/config", ".netrc"):
        (root / secret).parent.mkdir(exist_ok=True)
        (root / secret).write_text(CANARY)
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    (root / "src" / "link").symlink_to(tmp_path)
    (root / "src" / "up").symlink_to("../..")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    return root


@pytest.fixture
def root(place: Path) -> Iterator[safe_read.Root]:
    with safe_read.Root(place) as opened:
        yield opened


@pytest.mark.promise("S4")
@pytest.mark.parametrize("path", traversals.TRAVERSALS, ids=range(len(traversals.TRAVERSALS)))
def test_a_path_that_leads_elsewhere_is_refused(root: safe_read.Root, path: str) -> None:
    with pytest.raises(safe_paths.Refused):
        root.read(path)


@pytest.mark.promise("S4")
def test_no_key_of_any_kind_brings_in_what_lies_elsewhere(place: Path, tmp_path: Path) -> None:
    forms = (
        "file:{}",
        "file:{}#L1-9",
        "file:{}#run",
        "structure:{}",
        "symbol:{}",
        "pattern:{}",
        "rag:{}",
        "{}",
        "rules:{}",
    )
    keys = [form.format(path) for path in traversals.TRAVERSALS for form in forms]
    assert len(traversals.TRAVERSALS) >= 60
    with pack_gatherer.Gatherer(tmp_path / "state") as gatherer:
        for start in range(0, len(keys), 60):
            pack = gatherer.pack(place, "run the app", keys[start : start + 60], budget=20_000)
            assert CANARY not in pack.text
            assert {item.path for item in pack.chosen if item.first} <= {"src/app.py"}


@pytest.mark.promise("S4")
def test_a_folder_that_is_swapped_for_a_link_while_it_is_read_is_never_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "work"
    for folder in (outside, root / "real"):
        folder.mkdir(parents=True)
    (outside / "file.txt").write_text(CANARY)
    (root / "real" / "file.txt").write_text("inside")
    (root / "link").symlink_to(outside)
    stop = threading.Event()
    swapper = threading.Thread(target=_swap, args=(root, stop))
    swapper.start()
    read = refused = 0
    try:
        while read + refused < SWAPS or not (read and refused):
            with safe_read.Root(root) as opened:
                try:
                    assert opened.read("door/file.txt").text == "inside"
                    read += 1
                except safe_paths.Refused:
                    refused += 1
    finally:
        stop.set()
        swapper.join()
    assert read + refused >= SWAPS


def _swap(root: Path, stop: threading.Event) -> None:
    """Lets `door` be the folder and the link to elsewhere in turn, each change in one step."""
    while not stop.is_set():
        for name in ("real", "link"):
            (root / name).rename(root / "door")
            (root / "door").rename(root / name)


@pytest.mark.promise("S4")
def test_only_plain_files_of_a_bearable_size_are_read(place: Path, root: safe_read.Root) -> None:
    (place / "large.txt").write_bytes(b"x" * (safe_read.MAX_BYTES + 1))
    with pytest.raises(safe_paths.Refused, match="more than"):
        root.read("large.txt")
    with pytest.raises(safe_paths.Refused):
        root.read("fifo")
    assert root.read("src/app.py").text.startswith("def run")


def test_a_workspace_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file", "nowhere"):
        with pytest.raises(safe_paths.Refused):
            safe_read.Root(tmp_path / name)


def test_text_is_read_with_plain_line_ends_and_without_a_mark_at_its_start(place: Path, root: safe_read.Root) -> None:
    (place / "dos.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n\xff")
    assert root.read("dos.txt").text == "one\ntwo\n\ufffd"


@pytest.mark.parametrize(
    "path",
    ["src/app.py", "environment.py", "id_maker.py", "keys.py", "docs/secrets.md", "token.go", "credentials/view.ts"],
)
def test_ordinary_files_hold_no_secret(path: str) -> None:
    assert not secret_paths.secret(path)


def test_a_file_of_exactly_the_limit_is_read_and_one_byte_more_is_not(place: Path, root: safe_read.Root) -> None:
    (place / "src/ten.txt").write_bytes(b"x" * 10)
    assert root.read("src/ten.txt", limit=10).data == b"x" * 10
    with pytest.raises(safe_paths.Refused, match="10 bytes, more than the 9"):
        root.read("src/ten.txt", limit=9)


def test_size_and_time_are_those_of_the_moment_of_reading(place: Path, root: safe_read.Root) -> None:
    os.utime(place / "src/app.py", ns=(5, 1_700_000_000_000_000_007))
    content = root.read("src/app.py")
    assert (content.size, content.mtime_ns) == (len(content.data), 1_700_000_000_000_000_007)


def test_files_of_many_folders_are_read_in_any_order(place: Path, root: safe_read.Root) -> None:
    for name in ("a", "b", "a/deep"):
        (place / name).mkdir(exist_ok=True)
        (place / name / "file.txt").write_text(name)
    for name in ("a", "b", "a/deep", "a", "a/deep", "b"):
        assert root.read(f"{name}/file.txt").text == name
    assert root.read("src/app.py").text


def test_a_folder_that_was_replaced_is_opened_again_by_the_next_reader(place: Path) -> None:
    with safe_read.Root(place) as opened:
        assert opened.read("src/app.py").text.startswith("def run")
    (place / "src").rename(place / "old")
    (place / "src").mkdir()
    (place / "src/app.py").write_text("def new(): ...\n")
    with safe_read.Root(place) as opened:
        assert opened.read("src/app.py").text.startswith("def new")


def test_closing_leaves_no_handle_open(place: Path) -> None:
    def lowest() -> int:
        handle = os.open(place, os.O_RDONLY)
        os.close(handle)
        return handle

    before = lowest()
    with safe_read.Root(place) as opened:
        opened.read("src/app.py")
        with pytest.raises(safe_paths.Refused):
            opened.read("src/nowhere/app.py")
    assert lowest() == before


def test_a_refusal_says_what_to_name_instead(root: safe_read.Root) -> None:
    with pytest.raises(safe_paths.Refused) as refusal:
        root.read("../outside.txt")
    assert refusal.value.hint == "Name a file of the workspace by its path relative to it."
