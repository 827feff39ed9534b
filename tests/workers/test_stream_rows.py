"""What Claude Code's stream of lines says while it comes, and what is left of it on the disk."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.workers.claude import stream_rows

USAGE = {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2}


def line(row: Any) -> bytes:
    return json.dumps(row).encode() + b"\n"


def event(kind: str, **fields: Any) -> bytes:
    return line({"type": "stream_event", "event": {"type": kind, **fields}})


def begun(key: str, name: str = "sonnet") -> bytes:
    return event("message_start", message={"id": key, "model": name, "usage": USAGE})


def words(text: str) -> bytes:
    return event("content_block_delta", delta={"type": "text_delta", "text": text})


def ended(stop_reason: str = "end_turn", **usage: int) -> bytes:
    return event("message_delta", delta={"stop_reason": stop_reason}, usage=usage or {"output_tokens": 40})


def assistant(key: str, **usage: int) -> bytes:
    message: dict[str, Any] = {"id": key, "model": "sonnet", "usage": usage or USAGE, "content": []}
    return line({"type": "assistant", "message": message})


def price(_name: str | None, usage: model.Usage) -> float:
    return usage.tokens / 1_000


def test_an_answer_counts_as_it_begins_while_it_comes_and_as_it_ends() -> None:
    reader = stream_rows.StreamReader()
    reader.feed(begun("m1"))
    assert reader.transcript().usage(price).tokens == 18
    reader.feed(words("x" * 400))
    assert reader.letters == 400
    assert reader.transcript().requests["m1"][1].output_tokens == 100, "a token for four letters"
    reader.feed(ended(output_tokens=40))
    assert reader.letters == 0
    assert reader.transcript().requests["m1"][1].output_tokens == 40


@pytest.mark.parametrize(("stop_reason", "goes_on"), [("tool_use", True), ("end_turn", False), ("max_tokens", False)])
def test_an_answer_that_asks_for_tools_is_followed_by_another_request(stop_reason: str, *, goes_on: bool) -> None:
    reader = stream_rows.StreamReader()
    reader.feed(begun("m1") + words("hm") + ended(stop_reason))
    assert reader.is_between_turns is goes_on
    reader.feed(begun("m2"))
    assert not reader.is_between_turns


def test_the_figures_of_an_end_never_take_back_what_was_counted_at_the_beginning() -> None:
    stream = begun("m1") + ended(output_tokens=7, input_tokens=3, cache_read_input_tokens=9)
    name, usage = stream_rows.read(stream).requests["m1"]
    assert name == "sonnet"
    assert (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens) == (10, 9, 7)


def test_a_request_is_counted_once_however_often_its_rows_come() -> None:
    stream = begun("m1") + ended(output_tokens=40) + assistant("m1", output_tokens=1) * 3 + assistant("m2")
    requests = stream_rows.read(stream).requests
    assert {key: usage.output_tokens for key, (_, usage) in requests.items()} == {"m1": 40, "m2": 1}


def test_an_end_of_an_answer_that_never_began_counts_nothing() -> None:
    assert stream_rows.read(ended(output_tokens=9)).requests == {}
    assert stream_rows.read(begun("m1") + event("message_delta", delta={}, usage={})).usage(price).output_tokens == 1


def test_the_last_result_counts_and_what_it_cost_is_that_of_the_whole_session() -> None:
    stream = line({"type": "result", "total_cost_usd": 1}) + line({"type": "result", "total_cost_usd": 2.5})
    assert stream_rows.read(stream).total == 2.5
    assert stream_rows.read(b"").total is None
    assert stream_rows.read(line({"type": "result", "total_cost_usd": "2"})).total is None


def test_one_request_without_a_price_leaves_the_whole_without_one() -> None:
    def some(name: str | None, _usage: model.Usage) -> float | None:
        return 1.0 if name == "sonnet" else None

    assert stream_rows.read(assistant("m1") + assistant("m2")).usage(some).cost_usd == 2.0
    assert stream_rows.read(assistant("m1") + begun("m2", "unheard-of")).usage(some).cost_usd is None


def test_a_limit_holds_until_the_last_time_that_was_named() -> None:
    def limit(until: object) -> bytes:
        return line({"type": "rate_limit_event", "rate_limit_info": {"resetsAt": until}})

    assert stream_rows.read(limit(100) + limit(200) + limit("soon") + limit(None)).limited_until == 200


@pytest.mark.parametrize(
    "noise",
    [b"", b"npm warn\n", b"[1, 2]\n", b'{"type": "assistant"\n', b"{" * 9_000 + b"\n", b"\xff\xfe\n", b'{"type": 7}\n'],
)
def test_what_is_no_row_is_passed_over(noise: bytes) -> None:
    assert list(stream_rows.read(noise + assistant("m1") + noise + b"{").requests) == ["m1"]


def test_the_end_of_a_line_that_is_too_long_is_no_line_of_its_own() -> None:
    long = b'{"x": "' + b"x" * (stream_rows.MAX_LINE + 5) + assistant("hidden") + assistant("m1")
    assert list(stream_rows.read(long).requests) == ["m1"]


STREAM = b"".join(
    (begun("m1"), words("hello"), ended(), assistant("m2"), line({"type": "result", "total_cost_usd": 1}))
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_it_does_not_matter_in_which_pieces_a_stream_comes(cuts: list[int]) -> None:
    reader = stream_rows.StreamReader()
    places = [0, *sorted(cuts), len(STREAM)]
    for begin, end in itertools.pairwise(places):
        reader.feed(STREAM[begin:end])
    assert reader.transcript() == stream_rows.read(STREAM)


def folder(path: Path) -> Path:
    for name, content in {"stdout": STREAM, "stderr": b"secret", "stdin": b"secret", "system": b"secret"}.items():
        (path / name).write_bytes(content)
    return path


@pytest.mark.parametrize("with_result", [True, False])
def test_of_what_a_process_wrote_only_its_bill_stays_and_its_result_where_somebody_takes_it_over(
    tmp_path: Path, *, with_result: bool
) -> None:
    before = stream_rows.read(STREAM)
    stream_rows.keep_bill(folder(tmp_path), with_result=with_result)
    after = stream_rows.read((tmp_path / "stdout").read_bytes())
    assert after.usage(price) == before.usage(price)
    assert after.result == (before.result if with_result else {})
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left.pop("stdout").count(b"hello") == 0
    assert left == ({"stderr": b""} if with_result else {})


def test_without_what_a_process_wrote_nothing_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "stderr").write_bytes(b"why it did not start")
    stream_rows.keep_bill(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["stderr"]
