"""The demo in the folder of somebody who has just arrived, and over a copy of a repository."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import command_runs
import memory_client
import pytest

GIT = shutil.which("git")


def play(folder: Path, *words: str) -> tuple[dict[str, Any], str]:
    """Plays the demo in a folder; returns what held and what was said."""
    with command_runs.OwnProcess("demo", "--json", *words, cwd=folder) as demo:
        out, err = demo.communicate()
    assert demo.returncode == 0, err
    return json.loads(out), err


@pytest.mark.long
def test_in_an_empty_folder_everything_that_the_demo_tells_really_happens(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a key that the demo spends nothing of")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))
    facts, said = play(tmp_path)
    page = Path(facts["page"])
    assert str(page) in said.replace("\n", "")
    assert "Sell gift cards" in page.read_text(encoding="utf-8")
    assert page.stat().st_mode & 0o077 == 0, "the page is for its owner's eyes"
    assert facts["refuted"] == ["codes"]
    assert facts["clashed"] in (["menu"], ["redeem"])
    assert facts["kept"] == ["codes", "menu", "redeem", "values"]
    assert (facts["state"], facts["council"], facts["applied"]) == ("succeeded", "PASS", True)
    assert facts["files"] == ["shop/cart.py", "shop/codes.py", "shop/routes.py", "shop/values.py"]
    assert "again: kill -9 had cut it off" in said
    assert "played the edits and the reviews: a script stands in for the models" in said
    numbers = [line[0] for line in said.splitlines() if re.match(r"\d  \S", line)]
    assert numbers == ["1", "2", "3", "4", "5"], "each sentence of the story is told once"
    assert list(tmp_path.iterdir()) == []
    recording = (Path(__file__).resolve().parents[2] / "docs" / "demo.txt").read_text(encoding="utf-8")
    assert lasting(said) >= lasting(recording), "what the README shows is what is played today"


def lasting(text: str) -> set[str]:
    """Returns the words of a show without its figures; which of two pages clashes is the race of the day."""
    return set(re.sub(r"\d+", "0", re.sub(r"\b(menu|redeem)\b", "page", text)).split())


@pytest.mark.long
@pytest.mark.slice(2)
def test_over_a_repository_it_works_in_a_copy(tmp_path: Path) -> None:
    repo = memory_client.repository(tmp_path / "shop")
    facts, said = play(tmp_path, "--repo", str(repo))
    assert facts["files"][0] == "demo_shop/shop/cart.py"
    assert "a copy of shop" in said
    status = subprocess.run(
        ["git", "status", "--porcelain", "--ignored"], cwd=repo, capture_output=True, text=True, check=True
    )
    refs = subprocess.run(
        ["git", "for-each-ref", "refs/dispatch"], cwd=repo, capture_output=True, text=True, check=True
    )
    assert (status.stdout, refs.stdout) == ("", "")


def test_a_folder_that_is_no_repository_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with command_runs.OwnProcess("demo", "--repo", str(tmp_path)) as demo:
        _, err = demo.communicate()
    assert demo.returncode == 2
    assert "Leave --repo out" in err


def test_a_git_that_is_too_old_for_it_is_named_before_anything_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text(f'#!/bin/sh\ncase "$*" in *version*) echo git version 2.34.1;; *) exec {GIT} "$@";; esac\n')
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(old.parent), prepend=":")
    with command_runs.OwnProcess("demo") as demo:
        out, err = demo.communicate()
    assert (demo.returncode, out) == (1, "")
    assert err.splitlines() == [
        "dispatch-mcp: git 2.34 is too old to merge without a checkout.",
        "  Install git 2.38 or newer.",
    ]
