"""Task documents on disk: reading them, and writing traces beside the results."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dispatch_mcp import errors, model
from dispatch_mcp.planning import plan_documents
from dispatch_mcp.process import private_files
from dispatch_mcp.text import json_types

MAX_BYTES = 64 << 20
"""Bytes of a file that is read into memory: far above the largest plan, and below what would hurt."""


def read(name: str) -> plan_documents.PlanDocument:
    """Returns the document in a file, or on stdin for `-`. Raises InputError when it is not JSON."""
    content = text(name)
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError) as wrong:
        why = wrong if content.strip() else "it is empty"
        raise errors.InputError(
            f"{'stdin' if name == '-' else repr(name)} is not JSON: {why}.",
            hint='A task document looks like {"tasks": [{"id": "a", "do": "…"}], "config": {}}.',
        ) from wrong
    return plan_documents.read_document(raw)


def text(name: str, *, limit: int = MAX_BYTES) -> str:
    """Returns the text of a file, or of stdin for `-`, in UTF-8.

    Raises:
        InputError: it cannot be read, has more than `limit` bytes, or is not UTF-8.
    """
    data = _content(name, limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise errors.InputError(
            f"{_label(name)} is not UTF-8: byte {wrong.start} is {data[wrong.start]:#04x}.", hint="Save it as UTF-8."
        ) from wrong


def diff(name: str, *, limit: int = MAX_BYTES) -> str:
    """Returns a diff from a file, or from stdin for `-`, whose lines may be of files in any encoding.

    Some shells write UTF-16, and say so at its beginning. Bytes that are not UTF-8 become replacement characters.

    Raises:
        InputError: it cannot be read, or has more than `limit` bytes.
    """
    data = _content(name, limit)
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return data.decode(encoding, "replace")


def _label(name: str) -> str:
    return "stdin" if name == "-" else repr(name)


def _way_out(name: str) -> str:
    """Returns what to give instead of a file that cannot be read; several words are a request rather than a name."""
    is_request = " " in name.strip() and not name.endswith(".json")
    words = ' A request in words makes a plan: dispatch-mcp plan --request "…".' if is_request else ""
    return f"Name a file, or - for stdin.{words}"


def _content(name: str, limit: int) -> bytes:
    try:
        data = _bytes(name, limit + 1)
    except (OSError, ValueError) as trouble:
        why = (trouble.strerror or type(trouble).__name__) if isinstance(trouble, OSError) else str(trouble)
        raise errors.InputError(f"Cannot read {_label(name)}: {why}.", hint=_way_out(name)) from trouble
    if len(data) > limit:
        raise errors.InputError(f"{_label(name)} is larger than {limit:,} bytes.", hint="Split it.")
    return data


def cases(name: str, texts: Sequence[str]) -> Iterator[dict[str, model.Json]]:
    """Yields the cases of a JSONL file, each with an id and one of the `texts`; the number of a line stands in as id.

    Raises:
        InputError: the file cannot be read, or a line is no case; it is named.
    """
    for number, line in enumerate(text(name).split("\n"), 1):
        if not line.strip():
            continue
        try:
            case: model.Json = json.loads(line)
        except (ValueError, RecursionError) as wrong:
            raise _bad_line(name, number, f"is not JSON: {wrong}") from wrong
        if not json_types.is_object(case) or not any(isinstance(case.get(key), str) for key in texts):
            raise _bad_line(name, number, "has no text")
        yield {"id": number, **case}


def _bad_line(name: str, number: int, problem: str) -> errors.InputError:
    return errors.InputError(
        f"Line {number} of {name!r} {problem}.", hint='A line looks like {"id": "1", "text": "…"}.'
    )


def _bytes(name: str, most: int) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(most)
    with Path(name).open("rb") as file:
        return file.read(most)


INDEX = "_index.json"
"""No task can be of this name."""


def write_traces(folder: Path, traces: Mapping[str, model.Json]) -> dict[str, str]:
    """Writes one JSON file a task and an index, for their owner's eyes; returns the absolute paths by task id.

    Raises:
        InputError: the folder cannot be written.
    """
    names = {task_id: f"{task_id}.json" for task_id in traces}
    try:
        private_files.make_folder(folder)
        for task_id, trace in traces.items():
            _write(folder / names[task_id], trace)
        _write(folder / INDEX, names)
    except OSError as trouble:
        raise errors.InputError(
            f"Cannot write traces into {str(folder)!r}: {trouble.strerror}.", hint="Choose another --trace-dir."
        ) from trouble
    return {task_id: str((folder / name).resolve()) for task_id, name in names.items()}


def _write(path: Path, value: model.Json) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
