from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.runs import handoff_parser

HANDOFF = {
    "completed_work": "Registration works",
    "files_modified": ["src/routes/users.ts"],
    "decisions_made": ["bcrypt, not argon2"],
    "open_questions": ["rate limiting"],
    "mistakes_learned": ["first attempt had SQL injection"],
    "artifacts": [{"name": "spec", "path": "api.json"}],
}
READ = model.Handoff(
    completed_work="Registration works",
    files_modified=("src/routes/users.ts",),
    decisions_made=("bcrypt, not argon2",),
    open_questions=("rate limiting",),
    mistakes_learned=("first attempt had SQL injection",),
    artifacts=(model.Artifact(name="spec", path="api.json"),),
)
JSON = json.dumps(HANDOFF, indent=2)


@pytest.mark.parametrize(
    "text",
    [
        f"I did it.\n\n```json\n{JSON}\n```",
        f"```json\n{JSON}\n```\nLet me know if you need more.",
        f"```\n{JSON}\n```",
        f"~~~json\n{JSON}\n~~~",
        f"  ```JSON title=x\n{JSON}\n  ```",
        f"Done: {JSON}",
        f"Done: {json.dumps(HANDOFF)} and goodbye",
        JSON,
        f'```json\n{{"completed_work": "an earlier draft"}}\n```\nthen\n```json\n{JSON}\n```',
        f'```json\n{JSON}\n```\n```json\n{{"unrelated": 1}}\n```',
        f"```json\n{JSON}\n```\n```python\nx = {{'a': 1}}\n```",
        f"```json\n{json.dumps({'handoff': HANDOFF})}\n```",
        f"```json\n{json.dumps({'type': 'handoff', 'from': 'a', 'payload': HANDOFF})}\n```",
        "```json\n" + JSON.replace("]\n", "],\n") + "\n```",
        f"```json\n{JSON.replace('decisions_made', 'decisions').replace('files_modified', 'files_changed')}\n```",
        f"```json\n{JSON.replace('completed_work', 'Completed Work')}\n```",
    ],
)
def test_a_handoff_is_found_in_whatever_stands_around_it(text: str) -> None:
    assert handoff_parser.parse_answer(text) == (READ, "")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"completed_work": ["a", "b"]}, model.Handoff(completed_work="a; b")),
        ({"files_modified": "one.py"}, model.Handoff(files_modified=("one.py",))),
        ({"files_modified": [{"path": "one.py"}, None, ""]}, model.Handoff(files_modified=("one.py", "null"))),
        ({"decisions": [{"what": "x", "why": "y"}]}, model.Handoff(decisions_made=('{"what": "x", "why": "y"}',))),
        (
            {"artifacts": ["out/spec.json"]},
            model.Handoff(artifacts=(model.Artifact(name="spec.json", path="out/spec.json"),)),
        ),
        ({"open_questions": None, "completed_work": 7}, model.Handoff(completed_work="7")),
    ],
)
def test_values_of_the_wrong_shape_are_understood(value: model.Json, expected: model.Handoff) -> None:
    assert handoff_parser.parse_handoff(value) == (expected, "")


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, {"a": 1}, {"handoff": {"a": 1}}])
def test_a_value_that_is_no_handoff_says_what_one_is(value: model.Json) -> None:
    handoff, problem = handoff_parser.parse_handoff(value)
    assert handoff is None
    assert "completed_work" in problem


def test_what_a_worker_claims_about_digests_and_sizes_is_not_believed() -> None:
    claimed = {"artifacts": [{"name": "a", "path": "a", "digest": "f" * 64, "size": 3}]}
    handoff, _ = handoff_parser.parse_handoff(claimed)
    assert handoff is not None
    assert handoff.artifacts == (model.Artifact(name="a", path="a"),)


@pytest.mark.promise("R13")
@given(
    st.text()
    | st.lists(st.sampled_from(['{"completed_work":', "{", "}", "```json\n", "\n```\n", '"x"', "[", ","])).map("".join)
)
def test_no_answer_is_too_strange_to_read(text: str) -> None:
    handoff, problem = handoff_parser.parse_answer(text)
    assert (handoff is None) == bool(problem)


@pytest.mark.promise("R13")
@pytest.mark.parametrize(
    "text",
    [
        '{"completed_work":' * 20_000,
        "{" * 200_000,
        "{" * 200_000 + '"completed_work": 1}',
        "{" * 200_000 + '"completed_work" }',
        '{"completed_work": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "```json\n" * 30_000,
        "```json\n{" + '"a":1,' * 30_000 + "}\n```",
        "\ud800" + '{"completed_work": "\\ud800"}',
    ],
)
def test_huge_and_deep_answers_end_in_a_handoff_or_a_problem(text: str) -> None:
    handoff, problem = handoff_parser.parse_answer(text)
    assert (handoff is None) == bool(problem)
    if handoff is not None:
        assert handoff.model_dump_json()
