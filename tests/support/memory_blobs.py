"""Blobs in memory, for tests of what travels between two parties that share nothing else."""

from __future__ import annotations

import hashlib

from dispatch_mcp import errors


class Shelf(dict[str, bytes]):
    """Blobs in memory."""

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self[digest] = data
        return digest

    def get(self, digest: str) -> bytes:  # type: ignore[override]
        if digest not in self:
            raise errors.UnknownHandle(f"There is no blob {digest!r}.")
        return self[digest]
