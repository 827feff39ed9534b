"""Briefs as files of our own: private, named by ids alone, and replaced as a whole."""

from __future__ import annotations

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dispatch_mcp import errors
from dispatch_mcp.store import prompt_files

RUN = "0123456789abcdef" * 2


@pytest.fixture
def kept(tmp_path: Path) -> prompt_files.FileBriefs:
    return prompt_files.FileBriefs(tmp_path)


def test_what_was_put_is_read_back_and_the_newest_counts(kept: prompt_files.FileBriefs) -> None:
    path = kept.put(RUN, "build", 1, "first")
    assert kept.put(RUN, "build", 1, "sécond\n") == path
    assert kept.get(RUN, "build", 1) == "sécond\n"
    assert kept.get(RUN, "build", 2) == ""


@pytest.mark.promise("S14")
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_only_their_owner_can_read_them_whatever_the_umask(kept: prompt_files.FileBriefs, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        kept.put(RUN, "build", 1, "text")
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*")} == {"0o700", "0o600"}


@pytest.mark.parametrize(
    ("run", "task"), [("../x", "a"), ("short", "a"), (RUN, "../a"), (RUN, "a/b"), (RUN, ""), (RUN, ".hidden")]
)
def test_ids_that_are_no_names_of_files_are_not_kept(
    kept: prompt_files.FileBriefs, tmp_path: Path, run: str, task: str
) -> None:
    assert kept.put(run, task, 1, "text") is None
    assert kept.get(run, task, 1) == ""
    assert list(tmp_path.rglob("*")) == []


def test_many_at_once_leave_one_whole_brief(kept: prompt_files.FileBriefs, tmp_path: Path) -> None:
    texts = [str(number) * 10_000 for number in range(8)]

    def put(text: str) -> None:
        kept.put(RUN, "build", 1, text)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, texts * 10))
    assert kept.get(RUN, "build", 1) in texts
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["build-1.md"]


def test_a_folder_that_cannot_be_made_is_named(kept: prompt_files.FileBriefs, tmp_path: Path) -> None:
    (tmp_path / "briefs").write_text("a file")
    with pytest.raises(errors.StoreUnavailable, match=re.escape(str(tmp_path))):
        kept.put(RUN, "build", 1, "text")
    assert kept.get(RUN, "build", 1) == ""
