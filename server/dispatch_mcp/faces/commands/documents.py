"""Task documents on disk: reading them, and writing traces beside the results."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from dispatch_mcp import errors
from dispatch_mcp.core import documents, model

MAX_BYTES = 64 << 20


def read(name: str) -> documents.Document:
    """Returns the document in a file, or on stdin for `-`. Raises InputError when it is not JSON."""
    try:
        raw = json.loads(_text(name))
    except (ValueError, RecursionError) as wrong:
        raise errors.InputError(
            f"{name!r} is not JSON: {wrong}.",
            hint='A task document looks like {"tasks": [{"id", "do"}], "config": {}}.',
        ) from wrong
    return documents.read_document(raw)


def _text(name: str) -> str:
    if name == "-":
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        try:
            with Path(name).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as trouble:
            raise errors.InputError(
                f"Cannot read {name!r}: {trouble.strerror}.", hint="Name a task document, or - for stdin."
            ) from trouble
    if len(data) > MAX_BYTES:
        raise errors.InputError(f"{name!r} is larger than {MAX_BYTES >> 20} MiB.", hint="Split the document.")
    return data.decode("utf-8")


def write_traces(folder: Path, traces: Mapping[str, model.Json]) -> dict[str, str]:
    """Writes one JSON file a task and an index; returns the absolute paths by task id."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = {task_id: folder / f"{task_id}.json" for task_id in traces}
        for task_id, trace in traces.items():
            paths[task_id].write_text(json.dumps(trace, ensure_ascii=False, indent=2), encoding="utf-8")
        index = {task_id: path.name for task_id, path in paths.items()}
        (folder / "index.json").write_text(json.dumps(index, ensure_ascii=False, indent=2), encoding="utf-8")
    except OSError as trouble:
        raise errors.InputError(
            f"Cannot write traces into {str(folder)!r}: {trouble.strerror}.", hint="Choose another --trace-dir."
        ) from trouble
    return {task_id: str(path.resolve()) for task_id, path in paths.items()}
