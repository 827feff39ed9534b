from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from claude_double import asked, result

from dispatch_mcp import errors, model
from dispatch_mcp.process import supervisor
from dispatch_mcp.workers.claude import ceiling_watch

pytestmark = pytest.mark.anyio

DONE = supervisor.ChildResult(0, None, False, b"", b"", False, 1.0)


def price(_name: str | None, usage: model.Usage) -> float:
    """A dollar for a thousand tokens, a cent for a thousand from the cache."""
    return (usage.tokens - usage.cache_read_tokens) / 1_000 + usage.cache_read_tokens / 100_000


class Stream:
    """A stream that a process writes, and the watch that reads along."""

    def __init__(self, folder: Path, **ceiling: Any) -> None:
        readable = ceiling.pop("readable", 1 << 40)
        self.path = folder / "stdout"
        self.words: list[model.Usage] = []
        limits = model.TaskLimits(**ceiling)
        self.watch = ceiling_watch.CeilingWatch(self.path, limits, price, self.words.append, readable=readable)

    def write(self, *rows: dict[str, Any]) -> str:
        """Writes rows and returns the ceiling that the watch has met by then."""
        with self.path.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        return self.watch.look()


def ended(number: int, *, tokens: int, tools: bool) -> list[dict[str, Any]]:
    """A whole request of `tokens` in and out, after which the model asks for tools or has finished."""
    *rows, last = asked(number, tokens=tokens)
    event = {**last["event"], "delta": {"stop_reason": "tool_use" if tools else "end_turn"}}
    return [*rows, {**last, "event": event}]


def letters(count: int) -> dict[str, Any]:
    return {"type": "stream_event", "event": {"type": "content_block_delta", "delta": {"text": "x" * count}}}


@pytest.mark.promise("S18")
@pytest.mark.parametrize("ceiling", [{"tokens": 1_999}, {"dollars": 1.999}])
def test_an_answer_that_goes_over_while_it_is_given_is_stopped_there(tmp_path: Path, ceiling: dict[str, Any]) -> None:
    stream = Stream(tmp_path, **ceiling)
    assert stream.write(*asked(1, ended=False)) == ""
    assert stream.write(letters(3_000)) == ""
    assert stream.write(letters(1_000)) == next(iter(ceiling))
    assert stream.words[-1].output_tokens == 1_000


@pytest.mark.promise("S18")
@pytest.mark.parametrize(
    ("ceiling", "stopper"),
    [({"tokens": 4_511}, "tokens"), ({"tokens": 4_512}, ""), ({"dollars": 3.99}, "dollars"), ({"dollars": 4.0}, "")],
)
def test_between_turns_it_is_stopped_when_another_request_like_the_dearest_would_go_over(
    tmp_path: Path, ceiling: dict[str, Any], stopper: str
) -> None:
    assert Stream(tmp_path / "none", **ceiling).watch.look() == ""
    assert Stream(tmp_path, **ceiling).write(*ended(1, tokens=1_000, tools=True)) == stopper


@pytest.mark.promise("S18")
def test_a_dear_answer_of_before_is_what_the_next_one_may_cost(tmp_path: Path) -> None:
    stream = Stream(tmp_path, tokens=21_000)
    assert stream.write(*ended(1, tokens=5_000, tools=True)) == ""
    assert stream.write(*ended(2, tokens=1_000, tools=True)) == "tokens"


def test_an_answer_that_is_the_last_one_may_use_all_that_there_is(tmp_path: Path) -> None:
    stream = Stream(tmp_path, tokens=2_000, dollars=2.0)
    assert stream.write(*ended(1, tokens=1_000, tools=False)) == ""
    assert stream.write({"type": "system", "subtype": "status"}, letters(10**6), result()) == ""


def test_a_line_that_is_not_whole_yet_is_read_when_it_is(tmp_path: Path) -> None:
    stream = Stream(tmp_path, tokens=100)
    row = json.dumps(asked(1)[0])
    for part, stopper in ((row[:20], ""), (row[20:], ""), ("\n", "tokens")):
        with stream.path.open("a") as file:
            file.write(part)
        assert stream.watch.look() == stopper


@pytest.mark.promise("S18")
def test_a_stream_that_can_no_longer_be_read_stops_an_attempt_that_has_a_ceiling(tmp_path: Path) -> None:
    for ceiling, stopper in (({"tokens": 10**9}, "tokens"), ({}, "")):
        stream = Stream(tmp_path, readable=10, **ceiling)
        assert stream.write({"type": "system", "subtype": "noise"}) == ""
        assert stream.watch.look() == stopper


async def test_what_was_used_is_told_whenever_it_changes(tmp_path: Path) -> None:
    stream = Stream(tmp_path)
    stream.write(*asked(1))
    stream.write({"type": "system"})
    stream.write(*asked(2))
    assert [usage.tokens for usage in stream.words] == [2_000, 4_000]
    assert stream.words[-1].cost_usd == 4.0


async def test_a_process_that_ends_by_itself_is_let_end_and_one_at_its_ceiling_is_cancelled(tmp_path: Path) -> None:
    async def work() -> supervisor.ChildResult:
        return DONE

    stream = Stream(tmp_path, tokens=10)
    with anyio.fail_after(120):
        assert await stream.watch.over(work) is DONE

    async def talk() -> supervisor.ChildResult:
        stream.write(*asked(1))
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.fail_after(120):
        assert await stream.watch.over(talk) is None
    assert stream.watch.stopper == "tokens"


async def test_what_could_not_be_started_is_raised_as_it_is(tmp_path: Path) -> None:
    async def refuse() -> supervisor.ChildResult:
        raise errors.WorkerError("no such program")

    with anyio.fail_after(120), pytest.raises(errors.WorkerError, match="no such program"):
        await Stream(tmp_path).watch.over(refuse)
