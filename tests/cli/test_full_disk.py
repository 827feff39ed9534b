"""A run whose state lies on a disk that fills up: it stops in a sentence, and goes on when there is space."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import command_runs
import fake_provider
import pytest

from dispatch_mcp.store import owner_locks

UNSHARE = shutil.which("unshare")
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(UNSHARE is None, reason="only on Linux has a process a disk of its own"),
]
DISK = "16m"
SLOW_S = 6
"""Seconds that a model takes, so that the disk is full before."""

STEP = """#!/bin/sh
echo "$1" >> {counted}
if [ "$1" = fill ]; then
  dd if=/dev/zero of={disk}/filling bs=1k 2> /dev/null
  sleep 0.5
  dd if=/dev/zero bs=1k 2> /dev/null >> {disk}/filling
elif [ "$1" = linger ]; then
  touch {disk}.fills
  until [ $(cat {disk}/state/owners/*.lock | wc -c) -le {last} ]; do sleep 0.1; done
  sleep 3
fi
echo "did $1"
"""

SESSION = """
set -u
mount -t tmpfs -o size={size} none {disk} || exit 77
cd {place}
{{ until [ -e {disk}.fills ] || [ -e {disk}.frees ]; do sleep 0.05; done
while [ ! -e {disk}.frees ]; do
  dd if=/dev/zero bs=1k 2> /dev/null >> {disk}/filling
  sleep 0.02
done; }} &
timeout 150 {call} run steps.json --quiet > {place}/first.json 2> {place}/first.txt; echo $? >> {place}/codes
{call} status latest > {place}/status.txt 2>&1
{call} run steps.json --quiet > {place}/again.json 2> {place}/again.txt; echo $? >> {place}/codes
touch {disk}.frees
wait
rm {disk}/filling
{call} run steps.json --quiet > {place}/last.json 2> {place}/last.txt; echo $? >> {place}/codes
"""


NAMES = ("before", "fill", "after", "last")


def commands(step: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns tasks of which one fills the disk, each after the one before it."""
    return [
        {"id": name, "do": f"Do {name}", "command": [str(step), name], "deps": list(names[max(0, at - 1) : at])}
        for at, name in enumerate(names)
    ]


def session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *more: dict[str, Any], names: Sequence[str] = NAMES
) -> Path:
    """Returns a folder in which a session on a small disk of its own has ended."""
    disk, place, step = tmp_path / "disk", tmp_path / "place", tmp_path / "step"
    disk.mkdir()
    place.mkdir()
    step.write_text(STEP.format(counted=place / "counted", disk=disk, last=owner_locks.LAST_BYTES))
    step.chmod(0o755)
    Path(command_runs.written(place, [*commands(step, names), *more])).rename(place / "steps.json")
    monkeypatch.setenv("DISPATCH_MCP_HOME", str(disk / "state"))
    monkeypatch.setenv("DISPATCH_MCP_REVIEWS", "none")
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([[str(step), "**"]]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    call = f"{shlex.quote(sys.executable)} -m dispatch_mcp"
    script = SESSION.format(size=DISK, disk=disk, place=place, call=call)
    run = subprocess.run([UNSHARE or "", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if not (place / "codes").exists():
        pytest.skip(f"no disk of its own: {run.stderr}")
    return place


def test_a_run_on_a_full_disk_stops_in_a_sentence_and_goes_on_later_and_nothing_is_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = session(tmp_path, monkeypatch)
    assert (place / "codes").read_text().split() == ["1", "1", "0"]
    for name in ("first", "again"):
        lead, advice = (place / f"{name}.txt").read_text().splitlines()[-2:]
        assert lead.startswith(f"dispatch-mcp: The disk of '{tmp_path}/disk/state' is full: nothing more begins")
        assert lead.endswith(" was stopped; what has ended is recorded.")
        assert advice == "  Free some space there; then the same command goes on with it."
        assert (place / f"{name}.json").read_text() == ""
    status = (place / "status.txt").read_text()
    assert f"held: The disk of '{tmp_path}/disk/state' is full: nothing more begins there." in status
    answer = json.loads((place / "last.json").read_text())
    assert answer["status"] == "success"
    outputs = {task["task_id"]: str(task["output"]) for task in answer["results"]}
    assert [name for name in NAMES if f"did {name}" not in outputs[name]] == []
    assert (place / "counted").read_text().split() == list(NAMES)


def test_what_a_model_answers_while_the_disk_is_full_is_recorded_and_not_paid_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: fake_provider.Provider
) -> None:
    for name, value in provider.env().items():
        monkeypatch.setenv(name, value)
    answer = json.dumps([{**fake_provider.done(), "delay": SLOW_S}])
    poem = {"id": "poem", "do": f"Write a poem <<FAKE {answer} FAKE>>", "worker": "api"}
    place = session(tmp_path, monkeypatch, poem)
    assert (place / "codes").read_text().split() == ["1", "1", "0"]
    results = json.loads((place / "last.json").read_text())["results"]
    assert [task["status"] for task in results] == ["success"] * 5
    assert (place / "counted").read_text().split() == list(NAMES)
    assert len(provider.requests()) == 1


def test_what_ends_while_another_program_takes_all_room_that_is_made_is_recorded_and_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("before", "linger", "after")
    place = session(tmp_path, monkeypatch, names=names)
    assert (place / "codes").read_text().split() == ["1", "1", "0"]
    assert "what has ended is recorded" in (place / "first.txt").read_text()
    assert (place / "counted").read_text().split() == list(names)
