"""Which files of a workspace are worth indexing."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import temp_repository
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatch_mcp.context import file_listing

git = temp_repository.git


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "work"
    root.mkdir()
    for path in (
        *("src/app.py", "src/deep/er/more.py", "README.md", "data/table.csv", "node_modules/x/index.js", ".env"),
        *("build/out.py", "src/build/step.py", "src/.venv/lib.py", "logo.png", "yarn.lock", "keys/id_rsa"),
    ):
        temp_repository.write(root, path, "text\n")
    return root


PLAIN = {"src/app.py", "src/deep/er/more.py", "README.md", "src/build/step.py"}


def test_what_is_vendored_built_dull_or_secret_is_left_out(workspace: Path) -> None:
    assert set(file_listing.scan(workspace)) == PLAIN


def test_a_folder_named_like_a_build_is_left_out_only_at_the_top_and_only_if_git_does_not_track_it(
    workspace: Path,
) -> None:
    git(workspace, "init", "-q")
    assert set(file_listing.scan(workspace)) == {*PLAIN, "build/out.py"}


def test_size_and_time_are_those_of_the_file(workspace: Path) -> None:
    (workspace / "src/app.py").write_text("twelve chars")
    os.utime(workspace / "src/app.py", ns=(1, 1_700_000_000_123_456_789))
    assert file_listing.scan(workspace)["src/app.py"] == (12, 1_700_000_000_123_456_789)


@pytest.mark.parametrize("with_git", [False, True], ids=["walked", "asked"])
def test_links_pipes_and_sockets_are_no_files(workspace: Path, tmp_path: Path, *, with_git: bool) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("")
    (workspace / "link.py").symlink_to(workspace / "src/app.py")
    (workspace / "folder").symlink_to(outside)
    os.mkfifo(workspace / "pipe.py")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(workspace)
        server.bind("socket.py")
        os.chdir(here)
        if with_git:
            git(workspace, "init", "-q")
        assert set(file_listing.scan(workspace)) - {"build/out.py"} == PLAIN


def test_a_file_that_git_tracks_and_that_is_gone_is_left_out(workspace: Path) -> None:
    git(workspace, "init", "-q")
    temp_repository.commit(workspace)
    (workspace / "src/app.py").unlink()
    assert "src/app.py" not in file_listing.scan(workspace)


def test_the_ignore_file_of_each_folder_counts_without_git_too(workspace: Path) -> None:
    temp_repository.write(workspace, ".gitignore", "deep/\n*.md\n")
    temp_repository.write(workspace, "src/.gitignore", "!*.md\nbuild\n")
    temp_repository.write(workspace, "src/notes.md", "")
    assert set(file_listing.scan(workspace)) == {"src/app.py", "src/notes.md", ".gitignore", "src/.gitignore"}


def test_an_ignore_file_that_is_a_link_or_no_text_leaves_nothing_out(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("*.py\n")
    (workspace / ".gitignore").symlink_to(tmp_path / "rules")
    (workspace / "src/.gitignore").write_bytes(b"\xff\xfe\x00*\n")
    assert set(file_listing.scan(workspace)) >= PLAIN


def test_a_name_that_is_no_unicode_text_is_passed_over(workspace: Path) -> None:
    Path(os.fsdecode(os.fsencode(workspace) + b"/src/\xe9.py")).write_text("")
    assert set(file_listing.scan(workspace)) == PLAIN
    git(workspace, "init", "-q")
    assert set(file_listing.scan(workspace)) == {*PLAIN, "build/out.py"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_passed_over(workspace: Path) -> None:
    (workspace / "src/deep").chmod(0)
    assert set(file_listing.scan(workspace)) == PLAIN - {"src/deep/er/more.py"}
    (workspace / "src/deep").chmod(0o755)


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert file_listing.scan(tmp_path / "nowhere") == {}


_NAMES = st.sampled_from(["a", "b.py", "c.md", "test", "lib", ".github", "über.py", "x y.txt"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(_PATHS, max_size=10), st.lists(st.sampled_from(["*.py", "a/", "!b.py", "/lib", "test/*"]), max_size=3))
def test_a_walk_and_git_list_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, paths: set[str], rules: list[str]
) -> None:
    root = tmp_path_factory.mktemp("work")
    (root / ".gitignore").write_text("\n".join(rules))
    for path in sorted(paths):
        if not any(parent.is_file() for parent in (root / path).parents) and not (root / path).is_dir():
            temp_repository.write(root, path, path)
    walked = dict(file_listing.scan(root))
    git(root, "init", "-q")
    assert dict(file_listing.scan(root)) == walked
