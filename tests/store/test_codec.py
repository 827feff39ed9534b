"""Values as the texts of the tables, and bulk as files."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors, model
from dispatch_mcp.model import bounds
from dispatch_mcp.model.types import Value
from dispatch_mcp.store import blobs, codec, sqlite

anything = st.text(st.characters())
"""Texts with whatever Python lets stand in them: NULs and lone surrogates too."""

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=8,
)
outcomes = st.builds(
    model.Outcome,
    state=st.sampled_from(model.AttemptState),
    summary=anything,
    output=json_values,
    error=anything,
    unverified=st.booleans(),
    handoff=st.builds(model.Handoff, completed_work=anything, decisions_made=st.lists(anything, max_size=2).map(tuple)),
    usage=st.builds(model.Usage, input_tokens=st.integers(0, 10**12), cost_usd=st.none() | st.floats(0, 1e6)),
)


@given(outcomes, st.booleans())
def test_every_outcome_comes_back_as_it_was(outcome: model.Outcome, sparse: bool) -> None:  # noqa: FBT001
    assert codec.load(model.Outcome, codec.dump(outcome, sparse=sparse)) == outcome


@given(outcomes)
def test_what_was_not_set_takes_no_space(outcome: model.Outcome) -> None:
    assert len(codec.dump(outcome, sparse=True)) <= len(codec.dump(outcome))


@pytest.mark.parametrize("summary", ["done", "\ud83d"])
def test_only_what_was_set_is_written_where_little_space_is_wanted(summary: str) -> None:
    outcome = model.Outcome(state=model.AttemptState.SUCCEEDED, summary=summary)
    assert set(json.loads(codec.dump(outcome, sparse=True))) == {"state", "summary"}
    assert set(json.loads(codec.dump(outcome))) == set(model.Outcome.model_fields)


@given(st.dictionaries(anything, json_values, max_size=4))
def test_every_map_comes_back_as_it_was(data: dict[str, model.Json]) -> None:
    assert codec.load_map(codec.dump_map(data)) == data


@given(anything)
def test_every_text_can_be_stored_once_it_is_clean(text: str) -> None:
    clean = codec.clean(text)
    assert codec.clean(clean) == clean
    with closing(sqlite3.connect(":memory:")) as conn:
        assert conn.execute("SELECT ?", (clean,)).fetchone() == (clean,)
    if text.isprintable():
        assert clean == text


@given(st.binary(max_size=2_000))
def test_a_blob_has_the_name_of_its_bytes_and_comes_back_as_it_was(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "blobs").mkdir()
        store = blobs.FileBlobs(Path(folder))
        digest = store.put(data)
        assert digest == hashlib.sha256(data).hexdigest()
        assert store.put(data) == digest
        assert store.get(digest) == data
        assert [path.name for path in Path(folder).rglob("*") if path.is_file()] == [digest]


def test_a_blob_whose_bytes_changed_is_not_handed_out(tmp_path: Path) -> None:
    sqlite.prepare_home(tmp_path)
    store = blobs.FileBlobs(tmp_path)
    digest = store.put(b"paid for")
    (tmp_path / "blobs" / digest[:2] / digest).write_bytes(b"paid fox")
    with pytest.raises(errors.StoreDamaged, match="have changed"):
        store.get(digest)


def test_a_draft_that_could_not_be_finished_leaves_nothing(tmp_path: Path) -> None:
    def stop_halfway() -> None:
        with blobs.drafted(tmp_path / "folder" / "name", b"half") as draft:
            assert draft.read_bytes() == b"half"
            raise InterruptedError

    with pytest.raises(InterruptedError):
        stop_halfway()
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (model.Usage, {"input_tokens": 2**62, "cost_usd": 1.7e308, "seconds": 1}, {"input_tokens": 10**12}),
        (model.Limits, {"dollars": 1.7e308, "tokens": 2**70, "attempts": 10**9, "depth": 3}, {"tokens": 10**12}),
        (model.TaskLimits, {"minutes": 1e300}, {"minutes": 1e7}),
    ],
)
def test_figures_from_before_there_were_bounds_are_read_as_the_bounds(
    kind: type[Value], old: dict[str, float], new: dict[str, float]
) -> None:
    value = codec.load(kind, json.dumps(old))
    assert {name: getattr(value, name) for name in new} == new
    assert codec.load(kind, codec.dump(value)) == value


@pytest.mark.parametrize("was_draft", [True, False])
def test_a_plan_that_an_earlier_version_stored_as_a_draft_is_read_as_a_plan(*, was_draft: bool) -> None:
    plan = model.Plan(id="p", tasks=(model.Task(id="a", do="Do it"),))
    stored = {**json.loads(codec.dump(plan)), "draft": was_draft}
    assert codec.load(model.Plan, json.dumps(stored)) == plan
    stored["max_parallel"] = 10**6
    assert codec.load(model.Plan, json.dumps(stored)).max_parallel == bounds.MAX_PARALLEL
    with pytest.raises(ValueError, match="drafty"):
        codec.load(model.Plan, json.dumps({**stored, "drafty": True}))


def test_figures_are_bounded_wherever_they_stand_in_a_value() -> None:
    tasks = [{"id": "a", "do": "x"}, {"id": "b", "do": "x", "limits": {"tokens": 2**62}}]
    plan = codec.load(model.Plan, json.dumps({"id": "p", "tasks": tasks}))
    assert [task.limits.tokens for task in plan.tasks] == [None, 10**12]
    outcome = codec.load(model.Outcome, json.dumps({"state": "failed", "usage": {"seconds": 1e300}}))
    assert outcome.usage.seconds == 1e9


@pytest.mark.parametrize(
    "text", ['{"tokens": -1}', '{"tokens": 4611686018427387904, "speed": 1}', '{"tokens": "many"}']
)
def test_any_other_fault_of_a_stored_value_is_one(text: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        codec.load(model.TaskLimits, text)
