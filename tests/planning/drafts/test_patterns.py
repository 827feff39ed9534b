from __future__ import annotations

import pytest

from dispatch_mcp.agents import bundled_files
from dispatch_mcp.planning.drafts import patterns


def test_there_are_six_patterns_and_each_has_a_row_and_a_prompt() -> None:
    names = [pattern.name for pattern in patterns.PATTERNS]
    assert len(set(names)) == 6
    assert [row.pattern for row in patterns.DECISION_MATRIX] == names
    assert {pattern.prompt for pattern in patterns.PATTERNS} <= set(bundled_files.names("prompts"))


def test_the_matrix_and_the_catalogue_agree_on_execution() -> None:
    for row in patterns.DECISION_MATRIX:
        found = patterns.find(row.pattern)
        assert found is not None
        assert found.execution == row.execution


def test_models_follow_the_table() -> None:
    assert {row.work: row.model for row in patterns.MODEL_TABLE} == {
        "Complex implementation": "opus",
        "Investigation and analysis": "sonnet",
        "Quick consultation": "haiku",
        "Code review": "sonnet",
    }


def test_steps_of_a_skeleton_build_only_on_earlier_ones() -> None:
    for pattern in patterns.PATTERNS:
        seen: set[str] = set()
        for step in pattern.skeleton:
            assert set(step.deps) <= seen
            seen.add(step.id)


def test_the_decision_matrix_reads_as_two_tables() -> None:
    lines = patterns.decision_matrix().splitlines()
    rows = [line for line in lines if line.startswith("| ") and "|---" not in line]
    assert len(rows) == 1 + 6 + 1 + 4
    assert (
        "| One task's output is another's input | Sequential with handoff | sequential | `pattern-sequential-handoff` |"
        in lines
    )


def test_a_pattern_as_json_names_steps_as_plan_dag_does() -> None:
    consultation = patterns.find("consultation")
    assert consultation is not None
    said = patterns.as_json(consultation)
    assert said["prompt"] == "pattern-consultation"
    assert said["skeleton"][0] == {
        "id": "ask",
        "do": "Answer the question with code and patterns to reuse",
        "deps": [],
        "role": "the specialist who knows",
        "model": "haiku",
    }


@pytest.mark.parametrize(
    ("words", "name"),
    [("three phases", "three-phases"), ("API_first", "api-first"), ("Sequential with handoff", "sequential-handoff")],
)
def test_a_pattern_is_found_however_its_name_is_written(words: str, name: str) -> None:
    shape = patterns.shape(words)
    assert shape is not None
    assert shape.name == name


def test_an_unknown_pattern_is_none() -> None:
    assert patterns.find("waterfall") is None
