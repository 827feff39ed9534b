"""Bulk by reference in a bucket, for hosts that share no disk with the control plane."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import Final

import obstore
from obstore.store import ObjectStore

from dispatch_mcp import errors

SCHEMES: Final = ("s3", "gs", "az", "file")
PATIENCE: Final = timedelta(seconds=60)
"""A bucket that fails now and then is asked again, for as long as anybody waits for a store."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class ObjectBlobs:
    """Blobs as objects `ab/<sha256>` below an address. Implements `model.ports.Blobs`; safe from any thread.

    Who may read and write there is decided by the environment variables of its service (`AWS_ACCESS_KEY_ID`,
    `AWS_ENDPOINT_URL` and so on, `GOOGLE_…`, `AZURE_…`), or by what the machine itself is allowed.
    """

    def __init__(self, address: str) -> None:
        """Opens `address`, such as `s3://bucket/folder`. Raises ConfigError."""
        try:
            self._store: ObjectStore = _store(address)
        except Exception as fault:
            raise errors.ConfigError(
                f"The setting temporal_blobs is {address!r}, which cannot be used: {fault}.",
                hint="Give the address of a bucket, such as s3://bucket/folder, and its keys in the environment.",
            ) from fault
        self._address = address

    def put(self, data: bytes) -> str:
        """Stores `data` and returns its SHA-256 hex digest. Raises StoreUnavailable."""
        digest = hashlib.sha256(data).hexdigest()
        try:
            obstore.put(self._store, _key(digest), data)
        except Exception as fault:
            raise self._unavailable(fault) from fault
        return digest

    def get(self, digest: str) -> bytes:
        """Returns the bytes of a digest.

        Raises:
            UnknownHandle: nothing is stored under it.
            StoreDamaged: the bytes are no longer what was stored.
            StoreUnavailable: the bucket does not answer, or not us.
        """
        if not _DIGEST.fullmatch(digest):
            raise errors.UnknownHandle(f"{digest!r} is not a digest.", hint="Use the 64 hex digits of a result.")
        try:
            data = obstore.get(self._store, _key(digest)).bytes().to_bytes()
        except FileNotFoundError:
            raise errors.UnknownHandle(
                f"Nothing is stored under {digest!r} at {self._address!r}.",
                hint="Objects must outlive their runs: see the rules by which the bucket deletes.",
            ) from None
        except Exception as fault:
            raise self._unavailable(fault) from fault
        if hashlib.sha256(data).hexdigest() != digest:
            raise errors.StoreDamaged(f"The bytes of {digest!r} at {self._address!r} have changed.")
        return data

    def _unavailable(self, fault: Exception) -> errors.StoreUnavailable:
        return errors.StoreUnavailable(
            f"The blobs at {self._address!r} do not answer: {fault}.",
            hint="Look at the address and at its keys in the environment of this process.",
        )


def _store(address: str) -> ObjectStore:
    if address.startswith("file:"):
        return obstore.store.from_url(address)
    return obstore.store.from_url(address, retry_config={"max_retries": 1_000, "retry_timeout": PATIENCE})


def _key(digest: str) -> str:
    return f"{digest[:2]}/{digest}"
