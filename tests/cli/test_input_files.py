"""Files and standard input as commands read them, and trace files as they write them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors
from dispatch_mcp.cli import input_files


def typed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b"\xef\xbb\xbf[]")
    assert input_files.text(str(path)) == "[]"


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "größer".encode())
    assert input_files.text("-") == "größer"


def test_what_is_not_utf_8_is_refused_with_the_byte_and_its_place(tmp_path: Path) -> None:
    path = tmp_path / "old.txt"
    path.write_bytes("größer".encode("latin-1"))
    with pytest.raises(errors.InputError, match="byte 2 is 0xf6") as refusal:
        input_files.text(str(path))
    assert refusal.value.hint == "Save it as UTF-8."


@pytest.mark.parametrize("size", [9, 10, 11, 12])
def test_a_file_above_the_limit_is_refused_and_not_cut(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x" * size, encoding="utf-8")
    if size <= 10:
        assert input_files.text(str(path), limit=10) == "x" * size
    else:
        with pytest.raises(errors.InputError, match="larger than 10 bytes"):
            input_files.text(str(path), limit=10)


@pytest.mark.parametrize("name", ["not-there.json", ".", "nul\0in-it"], ids=["missing", "folder", "nul"])
def test_what_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.InputError, match="Cannot read ") as refusal:
        input_files.text(name)
    assert repr(name) in refusal.value.message


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "it is empty"), (b"  \n", "it is empty"), (b"{", "Expecting"), (b"[" * 100_000, "recursion")],
    ids=["empty", "blank", "broken", "deep"],
)
def test_a_document_that_is_no_json_says_why_and_how_one_looks(
    monkeypatch: pytest.MonkeyPatch, data: bytes, reason: str
) -> None:
    typed(monkeypatch, data)
    with pytest.raises(errors.InputError, match=f"stdin is not JSON: .*{reason}") as refusal:
        input_files.read("-")
    assert '"tasks"' in str(refusal.value.hint)


def test_cases_have_the_number_of_their_line_where_they_have_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, b'{"text": "a"}\n\n{"id": "x", "title": "b"}\n{"text": "c"}')
    cases = list(input_files.cases("-", ("text", "title")))
    assert [case["id"] for case in cases] == [1, "x", 4]


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", "7", "{}", '{"text": 7}', '{"title": "not asked for"}'], ids=range(6)
)
def test_a_line_that_is_no_case_is_named_by_number(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    typed(monkeypatch, f'{{"text": "a"}}\n{line}\n'.encode())
    with pytest.raises(errors.InputError, match="Line 2 of '-'"):
        list(input_files.cases("-", ("text",)))


@given(st.lists(st.text(min_size=1), max_size=5))
def test_whatever_was_written_as_cases_is_read_again(texts: list[str]) -> None:
    data = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    with pytest.MonkeyPatch.context() as monkeypatch:
        typed(monkeypatch, data)
        assert [case["text"] for case in input_files.cases("-", ("text",))] == texts


def test_traces_are_written_for_their_owner_alone_with_an_index(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "traces"
    paths = input_files.write_traces(folder, {"a": {"n": 1}, "b": {"n": 2}})
    assert json.loads(Path(paths["b"]).read_text("utf-8")) == {"n": 2}
    assert json.loads((folder / input_files.INDEX).read_text("utf-8")) == {"a": "a.json", "b": "b.json"}
    assert all(Path(path).is_absolute() for path in paths.values())
    if sys.platform != "win32":
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
        assert folder.stat().st_mode & 0o777 == 0o700


def test_traces_of_a_second_run_replace_those_of_the_first(tmp_path: Path) -> None:
    input_files.write_traces(tmp_path, {"a": {"long": "x" * 500}})
    paths = input_files.write_traces(tmp_path, {"a": {"n": 1}})
    assert json.loads(Path(paths["a"]).read_text("utf-8")) == {"n": 1}


def test_a_folder_that_cannot_be_written_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(errors.InputError, match="Cannot write traces into") as refusal:
        input_files.write_traces(tmp_path / "file" / "traces", {"a": {}})
    assert refusal.value.hint == "Choose another --trace-dir."
