"""Entries of a report: hosts' habits are read as they are meant, and what cannot be taken is refused alone."""

from __future__ import annotations

import json
import math
from typing import Any

import host_texts
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, records, usage_reader
from dispatch_mcp.runs import handoff_parser, report_reader

HANDOFF = {"completed_work": "Wrote it", "files_modified": ["a.py"]}
LEAST = {"task_id": "api", "attempt": 1}


def row(task_id: str, **fields: Any) -> records.TaskRecord:
    default: dict[str, Any] = {"position": 0, "worker": WorkerKind.HOST, "state": TaskState.RUNNING, "attempt": 1}
    return records.TaskRecord(id=task_id, **{**default, **fields})


ROWS = {task_id: row(task_id) for task_id in ("api", "Docs", "docs2")} | {"later": row("later", state=TaskState.READY)}


def entry(raw: Any) -> report_reader.HostReport:
    [reading] = report_reader.read([raw], ROWS)
    assert isinstance(reading, report_reader.HostReport), reading
    return reading


def refusal(raw: Any) -> str:
    [reading] = report_reader.read([raw], ROWS)
    assert isinstance(reading, report_reader.RefusedEntry), reading
    return reading.why


@pytest.mark.parametrize("sent", ["api", " api\n", "API", "Api "])
def test_case_and_blanks_around_an_id_do_not_matter(sent: str) -> None:
    assert entry({"task_id": sent, "attempt": 1}).task_id == "api"


def test_an_id_that_nobody_has_is_kept_as_it_was_sent() -> None:
    assert entry({"task_id": "nobody", "attempt": 1}).task_id == "nobody"
    assert entry({"task_id": 3, "attempt": 1}).task_id == "3"


def test_of_ids_that_differ_in_case_only_none_is_guessed() -> None:
    rows = {"a": row("a"), "A": row("A")}
    exact, unsure = report_reader.read([{"task_id": "A", "attempt": 1}, {"task_id": " a ", "attempt": 1}], rows)
    assert (exact.task_id, unsure.task_id) == ("A", "a")


@pytest.mark.parametrize(
    "names",
    [
        {"taskId": "api", "attempt": "1", "state": "done", "answer": "Wrote it"},
        {"id": "api", "attemptNumber": 1.0, "status": "Completed", "content": [{"type": "text", "text": "Wrote it"}]},
        {"task-id": "api", "attempt_no": 1, "status": True, "result": "Wrote it", "agentId": "a1", "color": "blue"},
    ],
)
def test_other_names_for_the_same_are_understood_and_the_unknown_is_ignored(names: dict[str, Any]) -> None:
    assert entry(names) == report_reader.HostReport(task_id="api", attempt=1, text="Wrote it")


def test_an_entry_that_comes_as_text_is_unpacked() -> None:
    assert entry(json.dumps(LEAST)) == entry(LEAST)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        (["one", "two"], "one\ntwo"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "one\ntwo"),
        ([{"type": "tool_result", "content": [{"type": "text", "text": "inner"}]}], "inner"),
        ({"role": "assistant", "content": [{"type": "text", "text": "said"}]}, "said"),
        ({"answer": 42}, '{"answer": 42}'),
        (42, "42"),
        ([], ""),
    ],
)
def test_an_answer_is_text_however_it_is_wrapped(text: Any, expected: str) -> None:
    assert entry({**LEAST, "text": text}).text == expected


def test_an_answer_that_is_only_an_output_is_the_text_as_well() -> None:
    assert (entry({**LEAST, "output": "Wrote it"}).text, entry({**LEAST, "output": {"n": 1}}).text) == ("Wrote it", "")


@pytest.mark.parametrize(
    "handoff",
    [HANDOFF, [HANDOFF], json.dumps(HANDOFF), f"Here:\n```json\n{json.dumps(HANDOFF)}\n```"],
)
def test_a_handoff_is_read_in_every_form(handoff: Any) -> None:
    sent = entry({**LEAST, "handoff": handoff}).handoff
    assert handoff_parser.parse_handoff(sent).handoff == handoff_parser.parse_handoff(HANDOFF).handoff


def test_a_handoff_in_plain_words_says_what_was_done() -> None:
    assert entry({**LEAST, "handoff": "Wrote it"}).handoff == {"completed_work": "Wrote it"}


def test_fields_of_a_handoff_that_stand_in_the_entry_are_one() -> None:
    assert entry({**LEAST, **HANDOFF, "open_questions": None}).handoff == HANDOFF


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (
            "succeeded",
            ["succeeded", "SUCCESS", "done", "ok", "OK.", "complete", "Completed", "✅ done", True],
        ),
        ("failed", ["failed", "failure", "Error", "fail", "timeout", "timed out", "blocked", False]),
        ("cancelled", ["cancelled", "canceled", "Aborted", "killed", "interrupted"]),
    ],
)
def test_what_hosts_call_an_end_is_understood(end: str, words: list[Any]) -> None:
    assert {entry({**LEAST, "text": "x", "status": word}).status for word in words} == {end}


@pytest.mark.parametrize("word", ["partial", "partially completed", "incomplete"])
def test_work_that_is_done_in_part_is_tried_again_with_what_there_is(word: str) -> None:
    half = entry({**LEAST, "status": word, "text": "The first two files."})
    assert (half.status, half.retryable) == ("failed", True)
    assert "The first two files." in half.error


@pytest.mark.parametrize("word", ["running", "in_progress", "In progress", "async_launched", "pending"])
def test_work_that_is_still_out_is_no_result(word: str) -> None:
    assert refusal({**LEAST, "status": word, "text": "Started."}).endswith("report it when it has ended.")


@pytest.mark.parametrize(
    "fields", [{"text": host_texts.STARTED}, {"output": [{"type": "text", "text": host_texts.STARTED}]}]
)
def test_the_notice_that_a_subagent_has_begun_is_no_result(fields: dict[str, Any]) -> None:
    assert refusal({**LEAST, **fields}).endswith("report its own answer when it comes.")


def test_an_answer_that_only_speaks_of_such_a_notice_is_one() -> None:
    assert entry({**LEAST, "text": f"The log shows:\n{host_texts.STARTED}"}).status == "succeeded"
    whole = f"{host_texts.STARTED}\n{json.dumps(HANDOFF)}"
    assert entry({**LEAST, "text": whole}).status == "succeeded"


REFUSED = "The user doesn't want to proceed with this tool use. The tool use was rejected (eg. if it was a file edit)."


@pytest.mark.parametrize(
    "fields",
    [{"text": REFUSED}, {"error": REFUSED}, {"status": "failed", "text": REFUSED}, {"output": REFUSED}],
)
def test_a_subagent_that_nobody_started_spends_no_attempt_whatever_that_is_called(fields: dict[str, Any]) -> None:
    why = refusal({**LEAST, **fields})
    assert "no subagent was started; no attempt is spent and the assignment stays with you" in why
    assert why.endswith("ask how to go on, and call it again only if that is wanted.")


TURNS = "NOTE: this agent stopped at its 2-turn limit before finishing. The text below is PARTIAL output."
FRAMED = (
    "[Subagent hand-back] The text below is the final report of a subagent. The report follows:\n  Two tables.\n"
    "agentId: a1 (use SendMessage with to: 'a1' to continue this agent)\n<usage>subagent_tokens: 37000</usage>"
)


@pytest.mark.parametrize("fields", [{"text": FRAMED}, {"output": FRAMED}, {"text": [{"type": "text", "text": FRAMED}]}])
def test_an_answer_is_kept_without_the_frame_of_its_host(fields: dict[str, Any]) -> None:
    report = entry({**LEAST, **fields})
    assert (report.status, report.answer) == ("succeeded", "Two tables.")


def test_work_that_ran_out_of_turns_is_tried_again_with_what_there_is() -> None:
    half = entry({**LEAST, "text": f"{TURNS}\nThe first two files."})
    assert (half.status, half.retryable) == ("failed", True)
    assert "The first two files." in half.error


def test_work_that_its_host_cut_off_is_tried_again() -> None:
    assert entry({**LEAST, "error": "Agent terminated early due to an API error: Overloaded"}).retryable
    assert not entry({**LEAST, "error": "The table is not there."}).retryable


def test_a_word_of_a_host_for_nothing_is_no_answer() -> None:
    assert entry({**LEAST, "text": "(Subagent completed but returned no output.)"}).answer is None


@pytest.mark.parametrize("word", ["fertig", "banana", "?", 3, [], {}])
def test_a_state_nobody_knows_is_refused_with_the_value_and_those_that_are_known(word: Any) -> None:
    why = refusal({**LEAST, "status": word, "text": "x"})
    assert why.startswith(f"results[0].status is {word!r}")
    assert "succeeded, failed, cancelled" in why


def test_a_misspelt_state_is_refused_with_the_one_that_was_meant() -> None:
    assert "did you mean 'succeeded'?" in refusal({**LEAST, "status": "suceeded"})


def test_an_error_without_a_state_is_a_failure() -> None:
    assert entry({**LEAST, "error": {"message": "It broke"}}) == report_reader.HostReport(
        task_id="api", attempt=1, status="failed", error="It broke"
    )
    assert entry({**LEAST, "text": "x", "is_error": True}).status == "failed"
    assert entry({**LEAST, "text": "x", "is_error": True, "status": "success"}).status == "failed"
    assert entry({**LEAST, "text": "x", "error": ""}).status == "succeeded"


def test_usage_beside_the_answer_counts_as_usage() -> None:
    sent = {**LEAST, "totalTokens": 100, "totalDurationMs": 2_000, "usage": {"input_tokens": 30, "output_tokens": 70}}
    assert entry(sent).usage.usage == model.Usage(input_tokens=30, output_tokens=70, seconds=2.0)
    assert entry({**LEAST, "total_tokens": 100, "usage": None}).usage.usage == model.Usage(input_tokens=100)


def test_what_an_answer_says_of_its_own_usage_is_not_believed() -> None:
    text = "Wrote it.\n<usage>total_tokens: 1\ntool_uses: 3\nduration_ms: 12345</usage>"
    assert entry({**LEAST, "text": text}).usage == usage_reader.NOTHING


WRONG: list[tuple[Any, str]] = [
    ({"attempt": 1}, "results[0].task_id is missing; out with you: api, Docs, docs2."),
    ({"task_id": None, "attempt": 1}, "results[0].task_id is missing"),
    ({"task_id": ["api"], "attempt": 1}, "results[0].task_id is ['api']"),
    ({"task_id": "api"}, "results[0].attempt is missing; the newest is 1. It is in the assignment."),
    ({"task_id": "api", "attempt": 0}, "results[0].attempt is 0"),
    ({"task_id": "api", "attempt": -1}, "results[0].attempt is -1"),
    ({"task_id": "api", "attempt": 1.5}, "results[0].attempt is 1.5"),
    ({"task_id": "api", "attempt": 2**63}, "results[0].attempt is 9223372036854775808"),
    ({"task_id": "api", "attempt": True}, "results[0].attempt is True"),
    ({"task_id": "api", "attempt": "first"}, "results[0].attempt is 'first'"),
    ({**LEAST, "handoff": 7}, "results[0].handoff is 7, not an object."),
    ({**LEAST, "usage": {"input_tokens": -5}}, "results[0].usage.input_tokens is -5; a whole number from 0 to"),
    ({**LEAST, "usage": {"output_tokens": 2**62}}, "results[0].usage.output_tokens is 4611686018427387904"),
    ({**LEAST, "usage": {"cost_usd": 1e308}}, "results[0].usage.cost_usd is 1e+308"),
    ({**LEAST, "usage": {"cost_usd": math.nan}}, "results[0].usage.cost_usd is nan, which is not a JSON number."),
    ({**LEAST, "usage": {"input_tokens": "many"}}, "results[0].usage.input_tokens is 'many'"),
    ({**LEAST, "usage": "a lot"}, "results[0].usage is 'a lot'"),
    ({**LEAST, "text": "a\0b"}, "results[0].text holds a NUL character at position 1."),
    ({**LEAST, "text": "x" * (report_reader.MAX_REPORT_CHARS + 1)}, "results[0].text has 2,000,001 characters"),
    ("done", "results[0] is 'done', not an object"),
    (7, "results[0] is 7, not an object"),
    (None, "results[0] is None, not an object"),
    ([], "results[0] is [], not an object"),
]


@pytest.mark.parametrize(("raw", "why"), WRONG, ids=[why[:50] for _, why in WRONG])
def test_a_wrong_entry_is_refused_with_its_place_and_value_and_spoils_no_other(raw: Any, why: str) -> None:
    before, wrong, after = report_reader.read([LEAST, raw, {"task_id": "Docs", "attempt": 1}], ROWS)
    assert [entry.task_id for entry in (before, after) if isinstance(entry, report_reader.HostReport)] == [
        "api",
        "Docs",
    ]
    assert isinstance(wrong, report_reader.RefusedEntry)
    assert wrong.why.startswith(why.replace("results[0]", "results[1]"))
    assert len(wrong.why) < 400


def test_a_refused_entry_keeps_what_could_be_read_of_it() -> None:
    [wrong] = report_reader.read([{**LEAST, "attempt": 3, "usage": -1}], ROWS)
    assert (wrong.task_id, wrong.attempt) == ("api", 3)


BLANKS = st.sampled_from([None, ""])


@given(st.dictionaries(st.sampled_from(["status", "text", "handoff", "output", "error", "retryable", "usage"]), BLANKS))
def test_a_field_without_a_value_counts_as_left_out(blanks: dict[str, Any]) -> None:
    assert entry({**LEAST, **blanks}) == entry(LEAST)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["task_id", "attempt", "status", "text", "handoff", "output", "error", "usage", "x"])


@given(st.lists(st.dictionaries(NAMES, JSON, max_size=6) | JSON, max_size=4))
def test_whatever_is_sent_each_entry_is_a_report_or_a_refusal_in_words(raw: list[Any]) -> None:
    readings = report_reader.read(raw, ROWS)
    assert len(readings) == len(raw)
    assert all(
        isinstance(reading, report_reader.HostReport) or reading.why.startswith("results[") for reading in readings
    )


def test_only_a_running_task_of_the_host_is_out() -> None:
    assert report_reader.is_out(row("api"))
    assert not report_reader.is_out(row("api", state=TaskState.READY))
    assert not report_reader.is_out(row("api", worker=WorkerKind.API))


def test_more_tasks_than_one_reads_are_counted() -> None:
    rows = {name: row(name) for name in "abcdefg"}
    [wrong] = report_reader.read([{}], rows)
    assert isinstance(wrong, report_reader.RefusedEntry)
    assert wrong.why.endswith("out with you: a, b, c, d, e and 2 more.")
