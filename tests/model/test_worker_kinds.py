"""Every list of workers in the product follows from the kinds that there are."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import cast

import pytest

from dispatch_mcp import configuration, model
from dispatch_mcp.cli import arguments
from dispatch_mcp.mcp_server import tool_arguments
from dispatch_mcp.model import WorkerKind, transitions, worker_choice
from dispatch_mcp.planning import agent_choice
from dispatch_mcp.runs import task_isolation

ROOT = Path(__file__).parents[2]
FOR_RUNS = ["auto", *(kind.value for kind in WorkerKind if kind is not WorkerKind.HUMAN)]


def test_a_run_may_be_given_to_every_worker_but_to_people() -> None:
    assert list(typing.get_args(worker_choice.WorkerName)) == FOR_RUNS
    assert tool_arguments.Dispatch.model_json_schema()["properties"]["worker"]["enum"] == FOR_RUNS
    assert configuration.Settings.model_fields["default_worker"].annotation is worker_choice.WorkerName
    for name in FOR_RUNS:
        assert tool_arguments.Dispatch.model_validate({"worker": name}).worker == name


@pytest.mark.parametrize("name", ["human", "Host", "nobody", ""])
def test_no_run_is_given_to_anybody_else(name: str) -> None:
    with pytest.raises(ValueError, match="worker"):
        tool_arguments.Dispatch.model_validate({"worker": name})


def test_a_task_is_offered_only_workers_that_there_are() -> None:
    offered = model.task_fields()["worker"].is_a.values
    assert {WorkerKind(name) for name in offered} == set(WorkerKind) - {WorkerKind.SCRIPTED}


def test_a_shell_offers_only_workers_that_there_are() -> None:
    choices = [
        how["choices"]
        for command in arguments.COMMANDS.values()
        for names, how in command.arguments
        if "--worker" in names and "choices" in how
    ]
    assert choices
    assert all(word in FOR_RUNS for words in choices for word in cast("tuple[str, ...]", words))


def test_models_are_started_by_the_host_or_by_this_server_and_the_latter_may_edit_in_worktrees() -> None:
    assert transitions.MODEL_WORKERS == task_isolation.EDITING_WORKERS | transitions.HOST_WORKERS
    assert not task_isolation.EDITING_WORKERS & transitions.HOST_WORKERS
    assert set(WorkerKind) == agent_choice.UNROUTED | transitions.MODEL_WORKERS
    assert not agent_choice.UNROUTED & transitions.MODEL_WORKERS


def test_the_readme_names_every_worker_of_a_run() -> None:
    row = next(line for line in (ROOT / "README.md").read_text("utf-8").splitlines() if line.startswith("| workers"))
    assert set(re.findall(r"`(\w+)`", row)) == set(FOR_RUNS) - {"auto"}
