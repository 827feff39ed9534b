"""What hooks say of runs: whatever they are called, in few tokens, and word for word where a call is to be made."""

from __future__ import annotations

import re

import hook_setup
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.hooks import hook_words
from dispatch_mcp.text import attempt_names, token_count

IDS = st.from_regex(r"[a-z0-9]{1,20}(-[a-z0-9]{1,6}){0,2}-[0-9a-f]{32}", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True).filter(str.isascii)
RUNS = st.builds(
    hook_words.RunProgress, IDS, st.text(max_size=90), st.integers(0, 9_999), st.integers(1, 10_000), st.floats(-9, 1e9)
)
WAITING = st.builds(hook_words.Waiting, NAMES, st.integers(1, 99), NAMES)
CALL = re.compile(r"Agent\(subagent_type='([^']*)', prompt='([^']*)'\)")


@given(st.lists(RUNS, max_size=5))
def test_the_start_of_a_session_is_told_in_eighty_tokens(runs: list[hook_words.RunProgress]) -> None:
    reply = hook_words.welcome(runs)
    assert bool(reply) is bool(runs)
    text = hook_setup.words(reply)
    assert token_count.count(text) <= hook_words.WELCOME_TOKENS
    assert "\n" not in text


def test_two_runs_with_plain_titles_are_named_and_the_rest_counted() -> None:
    runs = [hook_words.RunProgress(f"count-{'0a3f' * 8}", "Count the apples", 3, 17, 9_000.0)] * 4
    text = hook_setup.words(hook_words.welcome(runs))
    told = "'Count the apples' (count-0a3f): 3 of 17 tasks done, 2 h 30 min old."
    assert text == f"dispatch: 4 open runs here. {told} {told} And 2 more. get_trace(run_id) shows one."


def test_titles_that_cost_many_tokens_are_cut() -> None:
    runs = [hook_words.RunProgress("0a3f" * 8, "\u652f\u4ed8\u9875\u9762" * 20, 3, 17, 9_000.0)] * 3
    text = hook_setup.words(hook_words.welcome(runs))
    assert "And 2 more. get_trace(run_id) shows one." in text
    assert "3 of 17 tasks done" in text


@given(NAMES, IDS, st.lists(WAITING, min_size=1, max_size=12))
def test_news_are_told_in_a_hundred_tokens_and_every_call_in_them_is_whole(
    task: str, run: str, waiting: list[hook_words.Waiting]
) -> None:
    words = hook_words.ready(run, waiting, hook_words.room_after(task, "unverified"))
    text = hook_setup.words(hook_words.news("PostToolUse", task, "unverified", words))
    assert token_count.count(text) <= hook_words.NEWS_TOKENS
    calls = CALL.findall(text)
    for (agent, prompt), attempt in zip(calls, waiting, strict=False):
        assert (agent, prompt) == (attempt.agent, str(attempt_names.short(run, attempt.task, attempt.attempt)))
    assert len(calls) == len(waiting) or "dispatch(run_id=" in text or text.endswith("…")


def test_as_many_calls_as_have_room_are_named_and_one_fetches_the_rest() -> None:
    waiting = [hook_words.Waiting(f"part-{number}", 1, "Explore") for number in range(9)]
    text = hook_words.ready(f"count-{'0a3f' * 8}", waiting)
    assert text.startswith("Ready: Agent(subagent_type='Explore', prompt='dispatch count-0a3f/part-0/1') Agent(")
    assert text.endswith(" more assignments: dispatch(run_id='count-0a3f').")
    assert hook_words.ready(f"count-{'0a3f' * 8}", waiting, 9) == "Ready: 9 assignments: dispatch(run_id='count-0a3f')."
    assert "more" not in hook_words.ready(f"count-{'0a3f' * 8}", waiting[:2])


@pytest.mark.parametrize("limit", [0, 1, 5, 80])
@given(text=st.text(max_size=300))
def test_a_text_is_cut_to_its_tokens(limit: int, text: str) -> None:
    short = hook_words.cut(text, limit)
    assert short == text or short.endswith("…")
    assert token_count.count(short) <= max(limit, token_count.count("…"))
