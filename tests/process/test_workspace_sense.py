"""Folders that are no workspace are never searched, and it is said how to name one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch_mcp.context import pack_builder
from dispatch_mcp.process import safe_paths, workspace_sense

HOME = Path("/nobody-homes/ann")


@pytest.mark.parametrize(
    ("workspace", "why"),
    [
        ("/", "the root of the disk"),
        ("//", "the root of the disk"),
        ("/nobody-homes/..", "the root of the disk"),
        ("/nobody-homes/ann", "your home folder"),
        ("/nobody-homes/ann/", "your home folder"),
        ("/nobody-homes", "the folder of all homes"),
    ],
)
def test_the_root_and_homes_are_no_workspace_and_the_way_to_name_one_is_told(workspace: str, why: str) -> None:
    with pytest.raises(safe_paths.Refused, match=f"is no workspace: it is {why}") as refused:
        workspace_sense.refuse(workspace, HOME)
    assert "DISPATCH_MCP_WORKSPACE" in str(refused.value.hint)


@pytest.mark.parametrize("workspace", ["/nobody-homes/ann/shop", "/nobody-homes/bob", "/srv/shop", "/tmp"])
def test_every_other_folder_may_be_searched(workspace: str) -> None:
    workspace_sense.refuse(workspace, HOME)


def test_a_link_to_the_root_is_the_root(tmp_path: Path) -> None:
    link = tmp_path / "everything"
    link.symlink_to("/")
    with pytest.raises(safe_paths.Refused):
        workspace_sense.refuse(link, HOME)


def test_home_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(safe_paths.Refused, match="your home folder"):
        workspace_sense.refuse(tmp_path)


def test_no_index_is_made_of_the_root(tmp_path: Path) -> None:
    with pack_builder.Gatherer(tmp_path) as gatherer:
        for ask in (gatherer.pack, gatherer.plain):
            with pytest.raises(safe_paths.Refused):
                ask("/", "Add a tide table")
        with pytest.raises(safe_paths.Refused):
            gatherer.refresh("/")
    assert list(tmp_path.iterdir()) == []
