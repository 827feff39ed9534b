from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mcp.types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

from dispatch_mcp.mcp_server.handshake import input_lines
from dispatch_mcp.mcp_server.handshake.input_lines import CutLine, Lines
from dispatch_mcp.mcp_server.stdio_messages import MAX_DEPTH, Refusal, read

CALL = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "route_task", "arguments": {"task": "x"}}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def line(value: Any) -> bytes:
    return json.dumps(value).encode()


def call(**changes: Any) -> bytes:
    return line({**CALL, **changes})


def nested(levels: int) -> bytes:
    """A call with this many levels of objects, the message and its params among them."""
    return call(params="#").replace(b'"#"', b'{"a":' * (levels - 1) + b"1" + b"}" * (levels - 1))


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (CALL, JSONRPCRequest),
        ({**CALL, "id": ""}, JSONRPCRequest),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": None}, JSONRPCRequest),
        ({"jsonrpc": "2.0", "method": "notifications/initialized"}, JSONRPCNotification),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, JSONRPCResponse),
        ({"jsonrpc": "2.0", "id": None, "error": {"code": 1, "message": "no"}}, JSONRPCError),
    ],
)
def test_messages_are_read(message: dict[str, Any], kind: type) -> None:
    for data in (line(message), b"\xef\xbb\xbf" + line(message), line(message) + b"\r\n"):
        assert type(read(data)) is kind


@pytest.mark.parametrize("data", [b"\n", b"\r\n", b"  \t\n", b"\xef\xbb\xbf\n"])
def test_an_empty_line_is_no_message_and_needs_no_answer(data: bytes) -> None:
    assert read(data) is None


REFUSED = {
    "cut off": (b'{"jsonrpc":"2.0","id":7,"method":\n', PARSE_ERROR, "not JSON"),
    "cut in its params": (call(params={"a": "b" * 99})[:-20], PARSE_ERROR, "not JSON"),
    "two messages": (call() + call(), PARSE_ERROR, "Extra data"),
    "with a comment": (call()[:-1] + b"} // done", PARSE_ERROR, "not JSON"),
    "the id last, cut": (b'{"method":"ping","jsonrpc":"2.0","id":7', PARSE_ERROR, "not JSON"),
    "nested too deep": (nested(MAX_DEPTH + 1), INVALID_PARAMS, "deeper than 200"),
    "nested without end": (nested(100_000), INVALID_PARAMS, "deeper than 200"),
    "brackets without end": (call(params="#").replace(b'"#"', b'{"a":' + b"[" * 100_000), INVALID_PARAMS, "deeper"),
    "a number of 5,000 digits": (
        call(params="#").replace(b'"#"', b'{"a":' + b"9" * 5_000 + b"}"),
        INVALID_PARAMS,
        "digits",
    ),
    "without jsonrpc": (line({"id": 7, "method": "ping"}), INVALID_REQUEST, "jsonrpc is missing"),
    "another jsonrpc": (call(jsonrpc="1.0"), INVALID_REQUEST, "jsonrpc is '1.0'"),
    "without a method": (line({"jsonrpc": "2.0", "id": 7}), INVALID_REQUEST, "method is missing"),
    "a method that is none": (call(method=5), INVALID_REQUEST, "method is 5; it must be a string"),
    "params in a list": (call(params=[1]), INVALID_PARAMS, r"params is \[1\]; it must be an object"),
    "a batch": (b"[" + call() + b"]", INVALID_REQUEST, "Batches"),
}


@pytest.mark.promise("R13")
@pytest.mark.parametrize(("data", "code", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_message_is_refused_with_the_id_that_stands_in_it(data: bytes, code: int, reason: str) -> None:
    refusal = read(data)
    assert isinstance(refusal, Refusal)
    assert re.search(reason, refusal.reason)
    assert [(answer.id, answer.error.code) for answer in refusal.answers()] == [(7, code)]


WITHOUT_ID = {
    "null": (call(id=None), INVALID_REQUEST, "id is None; it must be a string or a whole number"),
    "a truth value": (call(id=True), INVALID_REQUEST, "id is True"),
    "half a number": (call(id=1.5), INVALID_REQUEST, "id is 1.5"),
    "no object": (b"5\n", INVALID_REQUEST, "5 is not a message"),
    "an empty object": (b"{}\n", INVALID_REQUEST, "is missing"),
    "an empty batch": (b"[]\n", INVALID_REQUEST, "Batches"),
    "no text": (b"\x00\xff\xfe\x01\n", PARSE_ERROR, "not JSON"),
    "an id further in": (b'{"jsonrpc":"2.0","method":"x","params":{"id":8}', PARSE_ERROR, "not JSON"),
    "an id in a text": (b'{"jsonrpc":"2.0","method":"x","params":{"t":"\\"id\\":8}"', PARSE_ERROR, "not JSON"),
    "a broken response": (b'{"jsonrpc":"2.0","id":7,"result":{"a":}}', PARSE_ERROR, "not JSON"),
    "a wrong response": (line({"jsonrpc": "2.0", "id": 7, "result": 5}), INVALID_REQUEST, "result is 5"),
}


@pytest.mark.parametrize(("data", "code", "reason"), WITHOUT_ID.values(), ids=WITHOUT_ID)
def test_a_line_without_an_id_to_answer_to_is_refused_with_none(data: bytes, code: int, reason: str) -> None:
    refusal = read(data)
    assert isinstance(refusal, Refusal)
    assert reason in refusal.reason
    assert [(answer.id, answer.error.code) for answer in refusal.answers()] == [(None, code)]


def test_each_request_of_a_batch_is_answered_and_of_a_great_one_the_whole() -> None:
    small = read(line([{**CALL, "id": number} for number in range(3)]))
    great = read(line([{**CALL, "id": number} for number in range(3_000)]))
    assert isinstance(small, Refusal)
    assert isinstance(great, Refusal)
    assert (small.ids, great.ids) == ((0, 1, 2), (None,))


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (rb"half \ud83d", "half \ufffd"),
        (rb"\uDE00 half", "\ufffd half"),
        (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (rb"whole \uD83D\uDE00", "whole \U0001f600"),
        (rb"no escape: \\ud83d", r"no escape: \ud83d"),
        (b"bytes \xff\xf0\x9f", "bytes \ufffd\ufffd"),
        (b"\xf0\x9f\x98\x80", "\U0001f600"),
    ],
)
def test_half_a_character_is_replaced_and_the_rest_is_taken(escaped: bytes, text: str) -> None:
    message = read(call(params={"text": "#"}).replace(b"#", escaped))
    assert isinstance(message, JSONRPCRequest)
    assert message.params == {"text": text}
    assert message.model_dump_json(), "and can be written"


@pytest.mark.parametrize("levels", [MAX_DEPTH, MAX_DEPTH + 1])
def test_the_levels_of_a_message_are_counted(levels: int) -> None:
    assert isinstance(read(nested(levels)), Refusal) == (levels > MAX_DEPTH)


def test_many_values_on_few_levels_are_not_deep() -> None:
    assert isinstance(read(call(params={"a": [[]] * 5_000})), JSONRPCRequest)


@given(JSON, st.binary(max_size=6), st.integers(0, 400), st.integers(0, 400))
@example(CALL, b"", 0, 400)
def test_any_line_is_a_message_a_refusal_or_empty(value: Any, piece: bytes, start: int, end: int) -> None:
    for whole in (value, {**CALL, "params": {"a": value}}):
        data = line(whole)
        outcome = read(data[:start] + piece + data[end:])
        if isinstance(outcome, Refusal):
            assert all(json.loads(answer.model_dump_json(by_alias=True))["error"] for answer in outcome.answers())


@given(st.integers(-(10**17), 10**17) | st.text(max_size=40), st.data())
def test_the_id_of_a_request_is_read_wherever_the_line_ends_behind_it(
    request_id: int | str, data: st.DataObject
) -> None:
    if isinstance(request_id, str):
        request_id = request_id.encode("utf-8", "replace").decode()
    whole = line({**CALL, "id": request_id, "params": {"id": 5, "x": ["id", {"id": 6}]}})
    behind = whole.index(b'"method"')
    outcome = read(whole[: data.draw(st.integers(behind, len(whole) - 1))])
    assert isinstance(outcome, Refusal)
    assert outcome.ids == (request_id,)


def test_lines_end_at_line_feeds_and_nowhere_else() -> None:
    lines = Lines(io.BytesIO("a\u2028b\u0085c\rd\ne\r\n\nf".encode()))
    assert [lines.next() for _ in range(5)] == ["a\u2028b\u0085c\rd\n".encode(), b"e\r\n", b"\n", b"f", None]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_is_too_long_is_cut_and_the_next_one_is_read(end: bytes) -> None:
    lines = Lines(io.BytesIO(b"x" * 200_000 + end), most=100)
    cut = lines.next()
    assert isinstance(cut, CutLine)
    assert len(cut.head) < 200
    assert cut.tail.strip() == b"x" * (512 - len(end))
    assert lines.next() is None


@pytest.mark.parametrize("length", [99, 100])
def test_the_bound_is_that_of_the_line_without_its_end(length: int) -> None:
    assert Lines(io.BytesIO(b"x" * length + b"\nnext\n"), most=100).next() == b"x" * length + b"\n"


@pytest.mark.parametrize(
    ("head", "tail", "request_id"),
    [
        (call()[:60], b"xxx", 7),
        (b'{"method":"tools/call","params":{"a":"xxx', b'xxx"},"jsonrpc":"2.0","id":9}\n', 9),
        (b'{"method":"tools/call","params":{"a":"xxx', b'xxx"},"jsonrpc":"2.0","id":"n-9"}\r\n', "n-9"),
        (b'{"method":"tools/call","params":{"a":"xxx', b'xxx","id":9}}\n', None),
        (b'{"result":{"a":"xxx', b'xxx"},"jsonrpc":"2.0","id":9}\n', None),
    ],
)
def test_a_cut_line_is_answered_to_the_id_at_its_beginning_or_end(
    head: bytes, tail: bytes, request_id: int | str | None
) -> None:
    refusal = read(CutLine(head, tail))
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.ids) == (INVALID_REQUEST, (request_id,))
    assert f"{input_lines.MAX_LINE:,} bytes" in refusal.reason
