"""Which model and effort a request gets, word by word and row by row of the tables of docs/rules.md#model-table."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors, model
from dispatch_mcp.routing import confidence, model_choice

REVIEWS = {
    "review": "Review the parser",
    "audit": "An audit of the log in",
    "look over": "Look over these lines",
    "critique": "Write a critique of the plan",
    "check (?:this|my|the) (?:code|diff|pr)": "Please check my diff",
    "xem lại": "Xem lại phần này",
    "đánh giá": "Đánh giá thiết kế",
}
QUESTIONS = {
    "explain": "Explain closures",
    "what (?:is|are|does|do|would)": "What does the cache hold",
    r"which\b": "Which queue fits",
    r"who\b": "Who owns the queue",
    r"when\b": "When is the queue emptied",
    r"where\b": "Where is the queue",
    "why do": "Why do people queue",
    "how (?:do|does|should|can|is|are)": "How does the queue work",
    "should (?:i|we)": "Should we queue",
    "tell me": "Tell me of the queue",
    "recommend": "Recommend a queue",
    "advise": "Advise on the queue",
    "giải thích": "Giải thích hàng đợi",
    "thế nào": "Hàng đợi chạy thế nào",
    "explica": "Explica la cola",
    "expliqu": "Explique la file",
    "erklär": "Erkläre die Schlange",
}
INVESTIGATIONS = {
    "investigat": "Investigate the queue",
    "analy[sz]": "Analyse the queue",
    "debug": "Debug the queue",
    "diagnos": "Diagnose the queue",
    "root cause": "Root cause of the gap",
    "find out": "Find out more",
    "profile": "Profile the queue",
    "trace": "Trace the message",
    "why (?:is|are|does|did)": "Why did the queue grow",
    "error": "Errors in the queue",
    "crash": "Crashes at night",
    "fail": "The queue fails",
    "bug": "A bug in the queue",
    "slow": "Slow queue",
    "broken": "The queue is broken",
    "not working": "The queue is not working",
    "exception": "An exception in the queue",
    "lỗi": "Sửa lỗi hàng đợi",
    "sập": "Máy chủ sập",
    "điều tra": "Điều tra hàng đợi",
    "phân tích": "Phân tích hàng đợi",
    "fehler": "Fehler in der Schlange",
    "erreur": "Erreur dans la file",
    "erro": "Erro na fila",
    "depur": "Depurar la cola",
}
LARGE = {
    "entire": "Port the entire shop",
    "whole": "Port the whole shop",
    "comprehensive": "Comprehensive port",
    "across the (?:system|codebase|project)": "Port it across the codebase",
    "end.to.end": "Port it end-to-end",
    "from scratch": "Build it from scratch",
    "architecture": "Draw the architecture",
    "platform": "Build the platform",
    "migrate": "Migrate the shop",
    "rewrite": "Rewrite the shop",
    "redesign": "Redesign the shop",
    "complete": "Complete the shop",
    "all (?:services|modules|files)": "Port all modules",
    "toàn bộ": "Chuyển toàn bộ cửa hàng",
}
SMALL = {
    "typo": "Fix a typo",
    "rename": "Rename the field",
    "small": "A small port",
    "minor": "A minor port",
    "quick": "A quick port",
    "one.line": "A one-line port",
    "simple": "A simple port",
    "just": "Just port it",
    "only": "Port it only",
    "comment": "Add a comment",
    "label": "Add a label",
    "nhỏ": "Sửa nhỏ",
}
PLAIN = "Port the shop"


def cases(table: dict[str, str]) -> list[object]:
    return [pytest.param(alternative, text, id=alternative) for alternative, text in table.items()]


@pytest.mark.parametrize(
    ("table", "alternatives"),
    [
        (REVIEWS, model_choice.REVIEWS),
        (QUESTIONS, model_choice.QUESTIONS),
        (INVESTIGATIONS, model_choice.INVESTIGATIONS),
        (LARGE, model_choice.LARGE),
        (SMALL, model_choice.SMALL),
    ],
)
def test_every_word_of_a_table_has_a_request_of_its_own(table: dict[str, str], alternatives: tuple[str, ...]) -> None:
    assert tuple(table) == alternatives
    for alternative, text in table.items():
        assert re.search(alternative, text, re.IGNORECASE)


@pytest.mark.parametrize(("alternative", "text"), cases(REVIEWS))
def test_requests_for_reviews_are_reviews(alternative: str, text: str) -> None:
    assert model_choice.kind(text) == "review", alternative


@pytest.mark.parametrize(("alternative", "text"), cases(INVESTIGATIONS))
def test_requests_about_faults_and_causes_are_investigations(alternative: str, text: str) -> None:
    assert model_choice.kind(text) == "investigation", alternative


@pytest.mark.parametrize(("alternative", "text"), cases(QUESTIONS))
def test_questions_are_consultations(alternative: str, text: str) -> None:
    assert model_choice.kind(text) == "consultation", alternative


def test_a_question_mark_alone_asks_too() -> None:
    assert model_choice.kind("Redis or a table? ") == "consultation"


def test_everything_else_is_an_implementation() -> None:
    assert model_choice.kind(PLAIN) == "implementation"


@pytest.mark.parametrize("text", ["Add a preview of the shop", "Port the whole shop", "Draw it wherever it fits"])
def test_words_inside_other_words_decide_nothing(text: str) -> None:
    assert model_choice.kind(text) == "implementation"


@pytest.mark.parametrize(("alternative", "text"), cases(LARGE))
def test_wide_words_make_a_request_larger(alternative: str, text: str) -> None:
    assert model_choice.effort(text, 1) is model.Effort.L, alternative


@pytest.mark.parametrize(("alternative", "text"), cases(SMALL))
def test_narrow_words_make_a_request_smaller(alternative: str, text: str) -> None:
    assert model_choice.effort(text, 1) is model.Effort.S, alternative


@given(st.text(max_size=900), st.integers(0, 8))
def test_more_specialists_never_make_a_request_smaller(text: str, parts: int) -> None:
    sizes = list(model.Effort)
    assert sizes.index(model_choice.effort(text, parts)) <= sizes.index(model_choice.effort(text, parts + 1))


def test_many_specialists_and_many_words_make_a_request_larger() -> None:
    assert model_choice.effort(PLAIN, 1) is model.Effort.M
    assert model_choice.effort(PLAIN, 3) is model.Effort.L
    assert model_choice.effort(f"{PLAIN} {'and its shelves ' * 40}", 3) is model.Effort.XL


@given(st.text(max_size=100), st.sampled_from(list(model.Effort)))
def test_whatever_is_chosen_exists_and_has_a_reason(text: str, size: model.Effort) -> None:
    for strategy in ("direct", "direct+async-review", "supervised", "human"):
        name, reason = model_choice.choose(text, size, strategy)
        assert model_choice.check(name) == name
        assert reason


@pytest.mark.parametrize(
    "name", ["opus", "sonnet", "haiku", "inherit", "claude-opus-4-5", "claude-sonnet-4-5@20250929"]
)
def test_models_that_exist_are_accepted(name: str) -> None:
    assert model_choice.check(name) == name


@pytest.mark.parametrize("name", ["gpt-9", "claude", "claude-", "opus; rm", "OPUS", "", "claude-x\n"])
def test_an_unknown_model_is_refused(name: str) -> None:
    with pytest.raises(errors.InputError, match="no model"):
        model_choice.check(name)


@pytest.mark.parametrize(
    ("text", "size", "strategy", "name"),
    [
        ("Implement the billing engine", model.Effort.L, "direct+async-review", "opus"),
        ("Investigate the memory growth", model.Effort.M, "supervised", "sonnet"),
        ("Review the auth module", model.Effort.M, "direct", "sonnet"),
        ("Which cache should we use?", model.Effort.S, "supervised", "haiku"),
        ("Add a column", model.Effort.S, "direct", "haiku"),
        ("Add a column", model.Effort.S, "supervised", "sonnet"),
    ],
)
def test_models_follow_the_tables_of_the_rules(
    text: str, size: model.Effort, strategy: confidence.Strategy, name: str
) -> None:
    assert model_choice.choose(text, size, strategy)[0] == name


def test_wide_requests_are_larger_than_narrow_ones() -> None:
    sizes = list(model.Effort)
    small = model_choice.effort("Fix a small typo in a label", 1)
    large = model_choice.effort("Rewrite the entire platform from scratch", 4)
    assert sizes.index(small) < sizes.index(large)
