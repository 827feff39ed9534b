"""One file, name or commit that is odd leaves itself out of a pack, or comes as it can be read; never the pack."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import temp_repository

from dispatch_mcp.context import pack_gatherer

SOUND = "def round_total(cart):\n    return round(sum(cart))\n"
ODD = "def round_odd_total(cart):\n    return cart\n"


class OddEntry(NamedTuple):
    """Something odd in a workspace: how it is made, and what of it a pack shows; nothing where `shown` is empty."""

    make: Callable[[Path], object]
    shown: str = ""


def _bytes(name: bytes, data: bytes) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        with Path(os.fsdecode(os.fsencode(root) + b"/" + name)).open("wb") as file:
            file.write(data)

    return make


def _loop(root: Path) -> None:
    (root / "loop.py").symlink_to("loop.py")
    (root / "around").symlink_to(root)


def _submodule(root: Path) -> None:
    inner = root / "vendored"
    temp_repository.write(inner, "total.py", ODD)
    temp_repository.git(inner, "init", "-q", "-b", "main")
    temp_repository.commit(inner, "Start the odd total")


def _pipe(root: Path) -> None:
    os.mkfifo(root / "odd_total.py")


def _huge(root: Path) -> None:
    with (root / "round_total.sql").open("wb") as file:
        file.truncate(200_000_000)


def _odd_folder(root: Path) -> None:
    folder = os.fsdecode(os.fsencode(root) + b"/d\xe6r")
    Path(folder).mkdir()
    Path(folder, "total.py").write_text(ODD)


def _unreadable(root: Path) -> None:
    (root / "odd_total.py").write_text(ODD)
    (root / "odd_total.py").chmod(0)


ENTRIES = {
    "a name that is no UTF-8": OddEntry(_bytes(b"odd_k\xe6se.py", ODD.encode())),
    "a folder whose name is no UTF-8": OddEntry(_odd_folder),
    "a line break in a name": OddEntry(_bytes(b"odd\ntotal.py", ODD.encode())),
    "a name of blanks and quotes": OddEntry(_bytes(b"odd ' \" total.py", ODD.encode()), "def round_odd_total"),
    "no byte": OddEntry(_bytes(b"odd_total.py", b"")),
    "links that lead in circles": OddEntry(_loop),
    "a repository in a folder": OddEntry(_submodule),
    "a pipe": OddEntry(_pipe),
    "200 MB": OddEntry(_huge),
    "line ends of Windows": OddEntry(
        _bytes(b"odd_total.py", ODD.replace("\n", "\r\n").encode()), "def round_odd_total(cart):\n    return cart"
    ),
    "a mark at its start": OddEntry(_bytes(b"odd_total.py", b"\xef\xbb\xbf" + ODD.encode()), "\ndef round_odd_total"),
    "NUL bytes": OddEntry(_bytes(b"odd_total.py", ODD.encode() + b"\0\0")),
    "UTF-16": OddEntry(_bytes(b"odd_total.py", ODD.encode("utf-16"))),
    "bytes that are no UTF-8": OddEntry(_bytes(b"odd_total.py", b"# \xe9\n" + ODD.encode()), "def round_odd_total"),
    "one line of a megabyte": OddEntry(_bytes(b"odd_total.py", b"round_odd_total = '" + b"x" * 1_000_000 + b"'\n")),
    "a file that nobody may read": OddEntry(_unreadable),
}


@pytest.mark.parametrize("has_git", [False, True], ids=["without git", "with git"])
@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES.keys())
def test_one_odd_entry_leaves_itself_out_and_never_the_pack(tmp_path: Path, entry: OddEntry, *, has_git: bool) -> None:
    root = tmp_path / "shop"
    temp_repository.write(root, "cart.py", SOUND)
    if has_git:
        temp_repository.git(root, "init", "-q", "-b", "main")
        temp_repository.commit(root, "Round the total of a cart")
    entry.make(root)
    with pack_gatherer.Gatherer(tmp_path / "state") as gatherer:
        pack = gatherer.pack(root, "Round the odd total of a cart", ["file:cart.py"])
    assert "def round_total(cart):" in pack.text
    assert not pack.unresolved
    assert "\0" not in pack.text
    pack.text.encode()
    if entry.shown:
        assert entry.shown in pack.text


@pytest.mark.parametrize(
    "key", ["odd\nname.py", "odd_k\udce6se.py", "loop.py", "pipe.py", "x" * 5_000, "a/" * 2_000, "\0.py"]
)
def test_one_odd_key_is_said_not_to_be_there_and_the_others_are_given(tmp_path: Path, key: str) -> None:
    root = tmp_path / "shop"
    temp_repository.write(root, "cart.py", SOUND)
    _loop(root)
    os.mkfifo(root / "pipe.py")
    with pack_gatherer.Gatherer(tmp_path / "state") as gatherer:
        pack = gatherer.pack(root, "Round the total", [f"file:{key}", "file:cart.py"])
    assert "def round_total(cart):" in pack.text
    assert len(pack.unresolved) == 1
    pack.text.encode()


@pytest.mark.parametrize(
    "subject",
    [b"Round \xe9 total", b"Round \x01 the \x02 total \x03", b"Round \xf0\x9f\x9b\x92 total", b"R" * 100_000],
    ids=["no UTF-8", "control characters", "a picture", "100,000 characters"],
)
def test_one_odd_commit_leaves_itself_out_and_never_the_pack(tmp_path: Path, subject: bytes) -> None:
    root = tmp_path / "shop"
    temp_repository.write(root, "cart.py", SOUND)
    temp_repository.git(root, "init", "-q", "-b", "main")
    temp_repository.commit(root, "Round the total of a cart")
    message = tmp_path / "message"
    message.write_bytes(subject)
    temp_repository.write(root, "cart.py", SOUND + ODD)
    temp_repository.git(root, "commit", "-q", "-a", "-F", str(message))
    with pack_gatherer.Gatherer(tmp_path / "state") as gatherer:
        pack = gatherer.pack(root, "Round the total of a cart")
    assert "def round_total(cart):" in pack.text
