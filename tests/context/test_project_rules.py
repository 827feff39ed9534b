"""The files in which a project says how work is done in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import temp_repository

from dispatch_mcp.context import safe_read
from dispatch_mcp.context.documents import project_rules


def rules(root: Path, files: Mapping[str, str], at_hand: Sequence[str] = ()) -> project_rules.ProjectRules:
    """Returns the rules of a workspace with these files."""
    root.mkdir(exist_ok=True)
    for path, text in files.items():
        temp_repository.write(root, path, text)
    with safe_read.Root(root) as workspace:
        return project_rules.read(workspace, at_hand)


def paths(root: Path, files: Mapping[str, str], at_hand: Sequence[str] = ()) -> list[str]:
    return [file.path for file in rules(root, files, at_hand).files]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "work"


def test_rules_come_in_the_order_in_which_they_count(root: Path) -> None:
    files = {name: f"From {name}." for name in (".loki/CONTINUITY.md", "CLAUDE.md", "AGENTS.md", ".claude/CLAUDE.md")}
    assert paths(root, files) == ["AGENTS.md", "CLAUDE.md", ".claude/CLAUDE.md", ".loki/CONTINUITY.md"]


def test_folders_of_the_files_at_hand_have_rules_of_their_own(root: Path) -> None:
    files = {name: f"From {name}." for name in ("AGENTS.md", "web/AGENTS.md", "web/cart/CLAUDE.md", "api/AGENTS.md")}
    assert paths(root, files, ["web/cart/page.tsx"]) == ["AGENTS.md", "web/AGENTS.md", "web/cart/CLAUDE.md"]


def test_a_workspace_without_rules_has_none(root: Path) -> None:
    assert rules(root, {"AGENTS.md": "  \n"}) == project_rules.ProjectRules()


def test_the_same_text_under_two_names_is_given_once(root: Path) -> None:
    rules(root, {"AGENTS.md": "Be brief."})
    (root / "CLAUDE.md").symlink_to("AGENTS.md")
    assert paths(root, {".claude/CLAUDE.md": "Be brief.\n"}) == ["AGENTS.md"]


def test_imports_are_followed_beside_the_file_that_names_them(root: Path) -> None:
    files = {
        "AGENTS.md": "Read @docs/style.md and ask @somebody or `@docs/code.md`.\n\n```\n@docs/block.md\n```\n",
        "docs/style.md": "Short lines. See @deeper/names.md.",
        "docs/deeper/names.md": "Nouns. Back to @../style.md",
        "docs/code.md": "no",
        "docs/block.md": "no",
        "somebody.md": "no",
    }
    read = rules(root, files)
    assert [(file.path, file.importer) for file in read.files] == [
        ("AGENTS.md", ""),
        ("docs/style.md", "AGENTS.md"),
        ("docs/deeper/names.md", "docs/style.md"),
    ]
    assert read.refusals == []


@pytest.mark.parametrize("target", ["../secret.md", "~/notes.md", "/etc/hosts", "a/../../secret.md", "link.md", ".env"])
def test_an_import_that_leads_out_or_to_secrets_is_refused_by_name(root: Path, target: str) -> None:
    temp_repository.write(root.parent, "secret.md", "CANARY")
    root.mkdir()
    (root / "link.md").symlink_to("../secret.md")
    read = rules(root, {"AGENTS.md": f"See @{target}", ".env": "CANARY"})
    assert [file.path for file in read.files] == ["AGENTS.md"]
    assert [path.lstrip("@") for path, _ in read.refusals] == [target]


def test_a_link_within_the_workspace_is_followed(root: Path) -> None:
    rules(root, {"docs/rules.md": "Be brief."})
    (root / "AGENTS.md").symlink_to("docs/rules.md")
    assert [file.text for file in rules(root, {}).files] == ["Be brief."]


def test_circles_and_long_chains_end(root: Path) -> None:
    chain = {f"r{at}.md": f"Rule {at}. @r{at + 1}.md" for at in range(12)}
    read = rules(root, {"AGENTS.md": "@r0.md @AGENTS.md", "r12.md": "@AGENTS.md", **chain})
    assert [file.path for file in read.files] == ["AGENTS.md", *(f"r{at}.md" for at in range(project_rules.MAX_DEPTH))]
    assert [path for path, _ in read.refusals] == [f"@r{project_rules.MAX_DEPTH}.md"]


def test_many_imports_end(root: Path) -> None:
    many = {f"r{at}.md": f"Rule {at}." for at in range(60)}
    read = rules(root, {"AGENTS.md": " ".join(f"@{name}" for name in many), **many})
    assert len(read.files) == project_rules.MAX_IMPORTS + 1


def test_what_cannot_be_read_leaves_itself_out_and_is_named(root: Path) -> None:
    root.mkdir()
    os.mkfifo(root / "CLAUDE.md")
    read = rules(root, {"AGENTS.md": "x" * (project_rules.MAX_BYTES + 1), ".loki/CONTINUITY.md": "Go on."})
    assert [file.path for file in read.files] == [".loki/CONTINUITY.md"]
    assert [path for path, _ in read.refusals] == ["AGENTS.md", "CLAUDE.md"]
