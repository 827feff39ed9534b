from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dispatch_mcp.cli import arguments as cli
from dispatch_mcp.mcp_server import tool_arguments

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
TYPED = re.compile(r"(?:^|`)(?:\$ )?dispatch-mcp ([a-z]+)", re.MULTILINE)


def names(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def test_the_generated_pages_are_current() -> None:
    command = [sys.executable, str(REPOSITORY / "scripts" / "generate_docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_command_that_a_page_types_exists(page: Path) -> None:
    assert set(TYPED.findall(page.read_text(encoding="utf-8"))) <= set(cli.COMMANDS)


def test_the_readme_names_every_tool() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert [tool for tool in tool_arguments.TOOLS if f"`{tool}`" not in readme] == []


NEEDED = {
    "hook": ["Stop"],
    "run": ["file"],
    "completion": ["bash"],
    "trace": ["run"],
    "steer": ["cancel", "run"],
    "approve": ["run"],
    "apply": ["run"],
    "limit": ["run", "dollars=1"],
    "waive": ["run", "finding", "--reason", "why"],
}


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_takes_what_the_page_says_of_all(command: str) -> None:
    needed = NEEDED.get(command, [])
    common = ["--home", "a", "--workspace", "b", *([] if command == "serve" else ["--json"])]
    options = cli.parser().parse_args([command, *needed, *common])
    assert (options.command, options.home, options.workspace) == (command, "a", "b")
