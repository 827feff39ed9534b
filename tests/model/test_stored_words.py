"""The store and the glossary have exactly the words that the code has for states, workers and kinds of messages."""

from __future__ import annotations

import contextlib
import re
import typing
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import RunState, WorkerKind
from dispatch_mcp.store import sqlite

ROOT = Path(__file__).parents[2]
COLUMNS: list[tuple[str, str, Collection[str]]] = [
    ("run", "state", set(RunState)),
    ("run", "worker", set(WorkerKind) - {WorkerKind.HUMAN}),
    ("task", "state", set(model.TaskState)),
    ("task", "worker", set(WorkerKind)),
    ("attempt", "state", set(model.AttemptState)),
    ("attempt", "worker", set(WorkerKind)),
    ("message", "kind", set(typing.get_args(model.MessageKind))),
]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Returns how a new store declares its tables."""
    home = tmp_path_factory.mktemp("store")
    sqlite.prepare_home(home)
    with contextlib.closing(sqlite.open_writer(home)) as db:
        return dict(db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall())


@pytest.mark.parametrize(
    ("table", "column", "words"), COLUMNS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_column_takes_exactly_the_words_that_there_are(
    tables: Mapping[str, str], table: str, column: str, words: Collection[str]
) -> None:
    assert set(re.findall(rf"\b{column} = '(\w+)'", tables[table])) == words


def test_a_verdict_is_a_final_state_of_a_run(tables: Mapping[str, str]) -> None:
    words = set(re.findall(r"verdict = '(\w+)'", tables["run"]))
    assert words
    assert words <= set(model.RUN_FINAL)


@pytest.mark.parametrize(
    ("noun", "words", "final"),
    [
        ("run", set(RunState), set(model.RUN_FINAL)),
        ("task", set(model.TaskState), set(model.TASK_FINAL)),
        ("attempt", set(model.AttemptState), set(model.AttemptState) - {model.AttemptState.RUNNING}),
    ],
)
def test_the_glossary_has_every_state_and_says_which_are_final(noun: str, words: set[str], final: set[str]) -> None:
    states = (ROOT / "docs" / "concepts.md").read_text("utf-8").partition("## States")[2].partition("\n## ")[0]
    line = next(line for line in states.splitlines() if f"**{noun}** is" in line)
    sentence = line.partition(f"**{noun}** is")[2].partition(". ")[0]
    living, _, ends = sentence.partition(" ends ")
    assert set(re.findall(r"`(\w+)`", living)) == words - final
    assert set(re.findall(r"`(\w+)`", ends)) == final
