from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dispatch_mcp.process import program_path


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "tool"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_a_name_is_looked_up_on_the_path_in_its_order(tool: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "tool"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert program_path.find("tool", f"{tool.parent}{os.pathsep}{other.parent}") == str(tool)
    assert program_path.find("tool", f"{other.parent}{os.pathsep}{tool.parent}") == str(other)


def test_relative_entries_of_the_path_do_not_count(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tool.parent.parent)
    for entries in ("bin", f".{os.pathsep}bin", f"{os.pathsep}bin{os.pathsep}", ""):
        assert program_path.find("tool", entries) is None
    assert program_path.find("tool", f"bin{os.pathsep}{tool.parent}") == str(tool)


def test_an_absolute_program_needs_no_path_and_must_be_there(tool: Path) -> None:
    assert program_path.find(str(tool), "") == str(tool)
    assert program_path.find(f"{tool}-not", str(tool.parent)) is None


def test_what_cannot_be_executed_is_no_program(tool: Path) -> None:
    tool.chmod(0o644)
    assert program_path.find("tool", str(tool.parent)) is None
    assert program_path.find(str(tool.parent), "") is None


def test_a_program_that_is_not_there_is_none(tool: Path) -> None:
    assert program_path.find("no-such-tool", str(tool.parent)) is None


@pytest.mark.parametrize("code", [0, 3])
def test_a_program_in_front_of_a_person_ends_as_it_ends(code: int) -> None:
    assert program_path.run_in_front([sys.executable, "-S", "-c", f"raise SystemExit({code})"]) == code


def test_a_program_that_is_not_there_ends_as_in_a_shell(tmp_path: Path) -> None:
    assert program_path.run_in_front([str(tmp_path / "nothing")]) == 127
