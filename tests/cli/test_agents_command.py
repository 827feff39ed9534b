"""Agents at a shell: what routing knows of them, and what it has learned."""

from __future__ import annotations

import io
import json
from pathlib import Path

import anyio
import command_runs
import pytest

from dispatch_mcp.cli import console
from dispatch_mcp.model import records
from dispatch_mcp.routing import learning
from dispatch_mcp.store import sqlite_store

TEXT = """---
name: {name}
description: Use for pottery, with kilns, glazes and firing.
keywords: [kiln, glaze]
knowledge: {knowledge}
---
You look after the kiln.
"""


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


def agent(folder: Path, name: str, knowledge: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    path.write_text(TEXT.format(name=name, knowledge=knowledge), encoding="utf-8")
    return path


async def teach(home: Path, *lessons: learning.Lesson) -> None:
    async with sqlite_store.open_store(home) as store:
        await store.learn(records.LOCAL, lessons)


def lesson(text: str, outcome: learning.Outcome) -> learning.Lesson:
    return learning.Lesson(text=text, agent="coder", outcome=outcome, at=1.0)


def test_a_project_whose_agents_are_not_trusted_says_so_in_every_view(
    shell: command_runs.Shell, tmp_path: Path
) -> None:
    agent(tmp_path / ".claude" / "agents", "potter")
    where = ("--workspace", str(tmp_path))
    assert "project, not trusted" in shell("agents", "show", "potter", *where).out
    [row] = [row for row in shell("agents", "--json", *where).json if row["name"] == "potter"]
    assert (row["layer"], row["trusted"]) == ("project", False)


def test_an_agent_shows_what_it_is_for_before_what_it_is_told(shell: command_runs.Shell, tmp_path: Path) -> None:
    agent(tmp_path / "team", "potter")
    lines = shell("agents", "show", "potter", "--roster", str(tmp_path / "team")).out.splitlines()
    labels = [line.split(":")[0] for line in lines[: lines.index("")]]
    assert labels[:4] == ["agent", "from", "file", "sha256"]
    assert "keywords: kiln, glaze" in lines
    assert lines[-1] == "You look after the kiln."


@pytest.mark.parametrize(("document", "code"), [("notes/kilns.md", 0), ("notes/lost.md", 1)])
def test_a_knowledge_document_is_looked_for_beside_the_folder_of_agents(
    shell: command_runs.Shell, tmp_path: Path, document: str, code: int
) -> None:
    agent(tmp_path / "team", "potter", document)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "kilns.md").write_text("Hot.", encoding="utf-8")
    answer = shell("agents", "lint", "--roster", str(tmp_path / "team"), "--json")
    assert answer.code == code
    assert [finding["code"] for finding in answer.json] == ["no_knowledge"] * code


def test_an_agent_of_two_files_that_are_not_trusted_is_named_by_its_path(
    shell: command_runs.Shell, tmp_path: Path
) -> None:
    path = agent(tmp_path / ".claude" / "agents", "potter")
    agent(tmp_path / ".claude" / "agents" / "more", "potter")
    where = ("--workspace", str(tmp_path), "--json")
    answer = shell("agents", "trust", "potter", *where)
    assert "names 2 agents that are not trusted" in answer.json["error"]
    assert "Not trusted: " in answer.json["hint"]
    assert shell("agents", "trust", str(path), "--sha256", "0" * 64, *where).json["error"].startswith(repr(str(path)))


def test_a_file_of_trust_that_is_not_ours_is_left_alone(
    shell: command_runs.Shell, tmp_path: Path, own_home: Path
) -> None:
    agent(tmp_path / ".claude" / "agents", "potter")
    where = ("--workspace", str(tmp_path))
    digest = shell("agents", "show", "potter", "--json", *where).json["sha256"]
    trust = own_home / "state" / "trusted-agents.json"
    trust.parent.mkdir(parents=True, exist_ok=True)
    trust.write_text("not ours", encoding="utf-8")
    answer = shell("agents", "trust", "potter", "--sha256", digest, *where)
    assert answer.code == 2
    assert trust.read_text("utf-8") == "not ours"


def test_a_second_approval_keeps_the_first(shell: command_runs.Shell, tmp_path: Path, own_home: Path) -> None:
    where = ("--workspace", str(tmp_path))
    digests: set[str] = set()
    for name in ("potter", "glazer"):
        agent(tmp_path / ".claude" / "agents", name)
        digest = shell("agents", "show", name, "--json", *where).json["sha256"]
        assert shell("agents", "trust", name, "--sha256", digest, *where).code == 0
        digests.add(digest)
    trust = json.loads((own_home / "state" / "trusted-agents.json").read_text("utf-8"))
    assert set(trust["sha256"]) == digests


def test_words_that_misled_are_shown_with_how_often(shell: command_runs.Shell, own_home: Path) -> None:
    bad = [lesson(f"fix the kiln number {number}", "failed") for number in range(3)]
    anyio.run(teach, own_home / "state", *bad, lesson("write the parser", "accepted"))
    rows = shell("agents", "misroutes", "--json").json
    assert {"agent": "coder", "word": "kiln", "wrong": 3, "right": 0} in rows
    assert "kiln" in shell("agents", "misroutes", "coder").out
    assert shell("agents", "misroutes", "nobody", "--json").json == []


def test_what_was_learned_can_be_forgotten_once(shell: command_runs.Shell, own_home: Path) -> None:
    anyio.run(teach, own_home / "state", lesson("fix the kiln", "failed"))
    assert shell("agents", "forget").out == "Forgot 1 outcome of past routes.\n"
    assert shell("agents", "forget", "--json").json == {"forgotten": 0}
    assert shell("agents", "misroutes").out == "No word misleads in 0 known outcomes.\n"


def test_the_check_names_what_is_no_agent_and_why(shell: command_runs.Shell, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "one.md").write_text("---\nname: one\ndescription: Use for pottery.\n---\nYou fire.\n")
    (folder / "notes.md").write_text("# Notes\n")
    out = shell("agents", "lint", "--roster", str(folder)).out
    assert "notes.md: no_agent: has no `name` in its front matter" in out


def test_a_terminal_shows_agents_below_their_roster_in_lines_that_fit(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent(tmp_path / ".claude" / "agents", "potter")
    stream = io.StringIO()
    device = console.Console(file=stream, width=60, force_terminal=True, color_system=None, highlight=False)
    monkeypatch.setattr(console, "out", device)
    assert shell("agents", "--workspace", str(tmp_path)).code == 0
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 60
    place = next(at for at, line in enumerate(lines) if line.startswith("  potter (project, not trusted): Use for"))
    assert not lines[place - 1].startswith(" "), "the name of the roster stands above its only agent"
    assert "backend" in lines
