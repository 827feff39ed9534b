"""Keeps what workers name as artifacts: the files' text as bulk, under a digest that the server worked out itself."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.context import safe_read
from dispatch_mcp.model import AttemptState, ports

MAX_BYTES = 4 << 20
MAX_KEPT = 50
"""Files of one attempt that are kept; others stay named without a digest."""

Redact = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Archive:
    """Reads artifacts below the place where the attempt worked, and keeps their text without secrets."""

    blobs: ports.Blobs
    redact: Redact = str

    async def keep(self, workspace: str, outcome: model.Outcome) -> model.Outcome:
        """Returns the outcome with digest, size and type of each artifact that could be read.

        What is no text has a digest and a size, and is not kept. What cannot be read below the workspace (elsewhere,
        a link, too large, on the deny list, not there) has neither.
        """
        artifacts = outcome.handoff.artifacts
        if outcome.state is not AttemptState.SUCCEEDED or not artifacts or not workspace:
            return outcome
        archived_files = await anyio.to_thread.run_sync(self._all, workspace, artifacts[:MAX_KEPT])
        handoff = outcome.handoff.model_copy(update={"artifacts": (*archived_files, *artifacts[MAX_KEPT:])})
        return outcome.model_copy(update={"handoff": handoff})

    def _all(self, workspace: str, artifacts: tuple[model.Artifact, ...]) -> list[model.Artifact]:
        try:
            with safe_read.Root(Path(workspace)) as root:
                return [self._one(root, artifact) for artifact in artifacts]
        except errors.NotAllowed:
            return list(artifacts)

    def _one(self, root: safe_read.Root, artifact: model.Artifact) -> model.Artifact:
        path = _relative(root, artifact.path or artifact.name)
        try:
            data = root.read(path, limit=MAX_BYTES).data
        except errors.NotAllowed:
            return artifact
        text = _text(data)
        mime = mimetypes.guess_type(path)[0] or ("text/plain" if text is not None else "application/octet-stream")
        changes: dict[str, model.Json] = {"path": path, "mime_type": mime}
        if text is None:
            changes |= {"digest": hashlib.sha256(data).hexdigest(), "size": len(data)}
        else:
            clean = self.redact(text).encode()
            changes |= {"digest": self.blobs.put(clean), "size": len(clean)}
        return artifact.model_copy(update=changes)


def _relative(root: safe_read.Root, path: str) -> str:
    return path.removeprefix(f"{root.path}/").removeprefix("./")


def _text(data: bytes) -> str | None:
    """Returns what the bytes say if they are text."""
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
