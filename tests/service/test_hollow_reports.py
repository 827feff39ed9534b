"""Reports of success that say nothing, or that say in another field that there was none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import reviewed_runs
from reviewed_runs import BETTER

pytestmark = pytest.mark.anyio

LOOK: dict[str, Any] = {"id": "look", "do": "Investigate the totals", "agent": "coder", "attempts": 2}
FIX: dict[str, Any] = {"id": "look", "do": "Make the totals right", "files": ["app/cart.py"], "agent": "coder"}


async def reported(
    tmp_path: Path, task: Mapping[str, Any], *entries: Mapping[str, Any], change: bool = False
) -> tuple[str, str, str]:
    """Returns the state of a task after these reports of its attempts, why, and the state of its run."""
    workspace = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "state", workspace, reviews="none") as chat:
        await chat.begin(task)
        if change:
            (workspace / "app/cart.py").write_text(BETTER)
        why = ""
        for entry in entries:
            answer = await chat.report("look", **{"text": "", **entry})
            why = answer.results[0].why
        return (await chat.states())["look"], why, (await chat.trace()).state


@pytest.mark.parametrize("entry", [{}, {"text": " \n"}, {"handoff": None}, {"output": None, "error": ""}])
async def test_a_success_without_a_word_is_asked_for_again_and_then_fails(
    tmp_path: Path, entry: dict[str, Any]
) -> None:
    state, why, _ = await reported(tmp_path / "once", LOOK, entry)
    assert (state, "it is empty, with neither text nor handoff nor output" in why) == ("running", True)
    state, _, run = await reported(tmp_path / "twice", LOOK, entry, entry)
    assert (state, run) == ("failed", "failed")
    state, _, run = await reported(tmp_path / "then words", LOOK, entry, {"text": "The totals add lines, not prices."})
    assert (state, run) == ("unverified", "succeeded")


@pytest.mark.parametrize("files", [["app/cart.py"], []], ids=["declared", "by its proof alone"])
async def test_a_success_without_a_word_counts_where_the_work_shows(tmp_path: Path, files: list[str]) -> None:
    task = {**FIX, "files": files, "acceptance": ["diff:app/cart.py"]}
    assert (await reported(tmp_path, task, {}, change=True))[0] == "succeeded"


async def test_declared_files_that_changed_are_words_enough(tmp_path: Path) -> None:
    assert (await reported(tmp_path, FIX, {}, change=True))[0] == "unverified"


@pytest.mark.parametrize("error", ["it broke", "Timeout after 60 s", "1 test fails"])
async def test_a_success_with_an_error_beside_it_is_a_failure(tmp_path: Path, error: str) -> None:
    entry = {"status": "succeeded", "text": "All done.", "error": error}
    state, why, run = await reported(tmp_path, {**LOOK, "attempts": 1}, entry)
    assert (state, run) == ("failed", "failed")
    assert f"its error is '{error}'" in why


@pytest.mark.parametrize("error", ["", "none", "None", "N/A", None])
async def test_an_error_that_says_there_was_none_is_none(tmp_path: Path, error: str | None) -> None:
    assert (await reported(tmp_path, LOOK, {"status": "succeeded", "text": "All done.", "error": error}))[
        0
    ] == "unverified"
