"""What the root of a workspace shows of its tests: a few files, never more than that, whatever lies there."""

from __future__ import annotations

import os
from pathlib import Path

from dispatch_mcp.context import project_files
from dispatch_mcp.planning import proof_proposals


def test_files_that_say_what_runs_the_tests_are_read_and_names_near_them_are_seen(tmp_path: Path) -> None:
    (tmp_path / "tests" / "deep").mkdir(parents=True)
    (tmp_path / "tests" / "test_cart.py").write_text("", encoding="utf-8")
    (tmp_path / "tests" / "deep" / "test_far.py").write_text("", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n", encoding="utf-8")
    (tmp_path / "cart.py").write_text("secret = 1\n", encoding="utf-8")
    shown = project_files.read(str(tmp_path))
    assert shown.texts == {"pyproject.toml": "[tool.pytest.ini_options]\n"}
    assert shown.names == {"tests", "pyproject.toml", "cart.py", "tests/test_cart.py", "tests/deep"}
    assert proof_proposals.runners_of(shown)[0].calls[0] == ("pytest", "-q")


def test_a_workspace_that_is_not_there_shows_nothing(tmp_path: Path) -> None:
    assert project_files.read(str(tmp_path / "nowhere")) == proof_proposals.ProjectFiles({}, frozenset())
    assert proof_proposals.runners_of(project_files.read(str(tmp_path))) == ()


def test_links_that_lead_elsewhere_and_files_that_are_too_large_are_not_read(tmp_path: Path) -> None:
    elsewhere, shop = tmp_path / "elsewhere", tmp_path / "shop"
    elsewhere.mkdir()
    shop.mkdir()
    (elsewhere / "package.json").write_text('{"scripts": {"test": "vitest"}}', encoding="utf-8")
    (elsewhere / "test_cart.py").write_text("", encoding="utf-8")
    (shop / "package.json").symlink_to(elsewhere / "package.json")
    (shop / "tests").symlink_to(elsewhere)
    (shop / "Makefile").write_bytes(b"test:\n" + b"x" * project_files.MAX_BYTES)
    os.mkfifo(shop / "tox.ini")
    shown = project_files.read(str(shop))
    assert shown.texts == {}
    assert "tests/test_cart.py" not in shown.names


def test_a_folder_of_very_many_names_is_looked_at_in_part(tmp_path: Path) -> None:
    for number in range(project_files.MAX_NAMES + 50):
        (tmp_path / f"{number}.txt").touch()
    assert len(project_files.read(str(tmp_path)).names) == project_files.MAX_NAMES
