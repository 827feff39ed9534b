"""Transcripts of subagents: which attempt they carry out, what they used, and which files are never read."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import hook_setup
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.hooks import agent_transcripts
from dispatch_mcp.text.attempt_names import AttemptName

NAME = AttemptName("run", "task", 2)
BRIEF = f"{NAME.mark}\n# GOAL"


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """Returns the transcript of a session whose subagents have theirs beside it."""
    (tmp_path / "project" / "s1" / "subagents").mkdir(parents=True)
    return tmp_path / "project" / "s1.jsonl"


def written(session: Path, *rows: Any) -> str:
    path = agent_transcripts.path_of(str(session), "a1")
    Path(path).write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def user(content: Any) -> dict[str, Any]:
    return {"type": "user", "message": {"role": "user", "content": content}}


def test_the_usage_of_an_answer_in_several_rows_counts_once_and_sums_by_model(session: Path) -> None:
    path = written(
        session,
        {"type": "attachment", "usage": {"input_tokens": 9}},
        user(BRIEF),
        "no json",
        hook_setup.answer("m1", output_tokens=1),
        hook_setup.answer("m1", output_tokens=9),
        hook_setup.answer("m2", "haiku", input_tokens=3),
        hook_setup.answer("m3", "haiku"),
        {"type": "assistant", "message": {"usage": "none", "model": "haiku"}},
    )
    transcript = agent_transcripts.read(path, str(session))
    assert transcript.prompt.name == NAME
    usage = transcript.model_usage()
    assert usage["claude-sonnet-5-5"]["output_tokens"] == 9
    assert (usage["haiku"]["input_tokens"], usage["haiku"]["output_tokens"]) == (103, 40)


def test_answers_without_an_id_count_each(session: Path) -> None:
    rows = [{**hook_setup.answer(""), "uuid": uuid} for uuid in ("u1", "u2", "u2")]
    transcript = agent_transcripts.read(written(session, user(BRIEF), *rows), str(session))
    assert transcript.model_usage()["claude-sonnet-5-5"]["input_tokens"] == 200


@pytest.mark.parametrize("path", ["/\ud800.jsonl", "/" + "a/" * 5_000, "\0"])
def test_a_path_that_is_none_is_not_followed(path: str, session: Path) -> None:
    assert agent_transcripts.first_prompt_in(f"{session.parent}{path}", str(session)) == agent_transcripts.NO_PROMPT


def test_a_brief_in_parts_is_recognised(session: Path) -> None:
    parts = [{"type": "text", "text": "<system-reminder>"}, {"type": "text", "text": BRIEF}]
    assert agent_transcripts.read(written(session, user(parts)), str(session)).prompt.name == NAME


def test_the_rest_of_a_transcript_stands_where_its_session_went_on_after_it_was_cleared(session: Path) -> None:
    before = written(session, {**user(BRIEF), "parentUuid": None}, hook_setup.answer("m1"), hook_setup.answer("m2"))
    later = session.with_name("s2.jsonl")
    result = {**user([{"type": "tool_result", "content": "x"}]), "parentUuid": "u7"}
    for first in (hook_setup.answer("m2"), result):
        (session.parent / "s2" / "subagents").mkdir(parents=True, exist_ok=True)
        path = written(later, first, hook_setup.answer("m3"))
        for place in (path, before):
            transcript = agent_transcripts.read(place, str(later))
            assert transcript.prompt.name == NAME
            assert sorted(transcript.answers) == ["m1", "m2", "m3"]
            assert agent_transcripts.first_prompt_in(place, str(later)) == (NAME, True, "")
    Path(before).unlink()
    assert agent_transcripts.first_prompt_in(path, str(later)).name is None, "its beginning is lost"
    assert agent_transcripts.first_prompt_in(before, str(later)).name is None


def test_parts_of_transcripts_that_lead_out_of_the_project_are_left_alone(session: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "s1" / "subagents").mkdir(parents=True)
    foreign = written(tmp_path / "other" / "s1.jsonl", user(BRIEF))
    (session.parent / "s0" / "subagents").mkdir(parents=True)
    (session.parent / "s0" / "subagents" / Path(foreign).name).symlink_to(foreign)
    path = written(session, hook_setup.answer("m2"))
    assert agent_transcripts.first_prompt_in(path, str(session)).name is None
    assert (
        agent_transcripts.first_prompt_in(str(session.parent / "s1" / "subagents" / "other.jsonl"), str(session)).name
        is None
    )
    assert agent_transcripts.first_prompt_in(path, str(tmp_path / "nowhere" / "s.jsonl")).name is None


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_beside_the_session_that_may_not_be_looked_into_holds_no_part(session: Path) -> None:
    path = written(session, user(BRIEF), hook_setup.answer("m1"))
    (session.parent / "closed").mkdir(mode=0o000)
    assert agent_transcripts.read(path, str(session)).prompt.name == NAME


def test_a_mark_that_comes_later_makes_no_attempt_of_ours(session: Path) -> None:
    path = written(session, user("Find the bug"), user(BRIEF), hook_setup.answer("m1"))
    assert agent_transcripts.read(path, str(session)) == agent_transcripts.Transcript()


def test_pipes_devices_folders_and_what_is_not_there_are_not_waited_for(session: Path) -> None:
    folder = session.parent / "s1"
    os.mkfifo(folder / "pipe")
    for place in (folder / "pipe", folder, folder / "missing", Path("/dev/zero")):
        assert agent_transcripts.read(str(place), str(session)) == agent_transcripts.Transcript()


def test_a_line_without_end_and_a_file_without_end_are_read_to_a_limit(
    session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_transcripts, "MOST_BYTES", 2_000)
    monkeypatch.setattr(agent_transcripts, "MOST_LINE", 500)
    path = written(session, user(BRIEF), "x" * 900, *[hook_setup.answer(f"m{number}") for number in range(50)])
    assert 0 < len(agent_transcripts.read(path, str(session)).answers) < 10


@pytest.mark.parametrize("agent", ["", "../../etc/passwd", "a/b", "a.b", "x" * 65, "a\0"])
def test_only_names_of_subagents_lead_to_a_file(session: Path, agent: str) -> None:
    assert agent_transcripts.path_of(str(session), agent) == ""


@given(st.binary(max_size=400), st.text(max_size=60))
def test_no_file_and_no_path_ever_raises(tmp_path_factory: pytest.TempPathFactory, data: bytes, path: str) -> None:
    folder = tmp_path_factory.mktemp("transcripts")
    (folder / "agent.jsonl").write_bytes(data)
    agent_transcripts.read(str(folder / "agent.jsonl"), str(folder / "s.jsonl"))
    agent_transcripts.read(path, str(folder / "s.jsonl"))
    agent_transcripts.read(str(folder / "agent.jsonl"), path)
