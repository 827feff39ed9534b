"""Where a host works that shares no disk with the control plane: in folders made of parcels."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import anyio.to_thread
import pydantic

from dispatch_mcp import model
from dispatch_mcp.git import git_process, merge_rules, parcels
from dispatch_mcp.model import ports, run_refs, work_order
from dispatch_mcp.temporal import order_papers

FOLDER: Final = "places"
SWEEP_EVERY_S: Final = 3_600.0
KEPT_S: Final = 2 * 86_400.0
"""Seconds after which what nobody has used any more goes: histories of repositories, and places whose session nobody
has gone on with."""

_PARCELS: Final = pydantic.TypeAdapter(parcels.Parcel)

PLACE: Final = "place"
"""The detail of an attempt's beat that names where its session has worked, on whichever host that was."""


def parcel_bytes(parcel: parcels.Parcel) -> bytes:
    """Returns a parcel as JSON."""
    return _PARCELS.dump_json(parcel)


def parcel_of(data: bytes) -> parcels.Parcel:
    """Returns the parcel that `parcel_bytes` wrote. Raises ValueError, also for what another version has written."""
    return _PARCELS.validate_json(data, strict=False, extra="forbid")


def declared_files(work: work_order.WorkOrder) -> list[str]:
    """Returns the files that a task declares by name, below its workspace."""
    return merge_rules.files_by_name(merge_rules.order_for_copy(work, work.workspace).task)


class Place(NamedTuple):
    """Where an attempt works on this host: the folder, what was laid out there, and the order as it is carried out."""

    folder: Path
    parcel: parcels.Parcel
    work: work_order.WorkOrder


@dataclass(frozen=True, slots=True)
class Places:
    """The places of a host, below its state folder."""

    receiver: parcels.Receiver

    async def take(self, work: work_order.WorkOrder, parcel: parcels.Parcel) -> Place:
        """Returns where the order is carried out: a new place, or that of the session that the attempt goes on with.

        Raises:
            WorkerError: git failed, or what was sent is damaged.
            StoreError: what was sent cannot be had.
        """
        folder = await anyio.to_thread.run_sync(self._session_folder, work, parcel)
        if folder is None:
            folder = self._folder(work, work.attempt)
            await anyio.to_thread.run_sync(shutil.rmtree, folder, True)
            await self.receiver.lay(parcel, folder)
            await anyio.Path(_mark(folder)).write_bytes(parcel_bytes(parcel))
            work = _begun_anew(work)
        return Place(folder, parcel, _order_in(work, folder / parcel.below))

    def _folder(self, work: work_order.WorkOrder, attempt: int) -> Path:
        run, task = run_refs.safe_part(work.run_id), run_refs.safe_part(work.task.id)
        return self.receiver.home.absolute() / run / f"{task}.{attempt}"

    def _session_folder(self, work: work_order.WorkOrder, parcel: parcels.Parcel) -> Path | None:
        """Returns the place of an earlier attempt whose session is to go on, if it is here and still fits."""
        if work.last_beat.get(ports.SESSION):
            for attempt in range(work.attempt - 1, 0, -1):
                folder = self._folder(work, attempt)
                if work.last_beat.get(PLACE) == str(folder):
                    return folder if _is_of(folder, parcel) else None
        return None

    async def change(self, place: Place) -> str:
        """Returns the digest of what has changed in a place, empty for nothing.

        Raises:
            WorkerError: it is no repository any more, or git failed.
            StoreError: the blobs take nothing.
        """
        return await self.receiver.collect(place.parcel, place.folder, declared_files(place.work))

    async def leave(self, place: Place) -> None:
        """Removes a place."""
        await anyio.to_thread.run_sync(shutil.rmtree, place.folder, True)
        with contextlib.suppress(OSError):
            await anyio.Path(_mark(place.folder)).unlink(missing_ok=True)
            await anyio.Path(place.folder.parent).rmdir()

    async def sweep_now_and_then(self) -> None:
        """Removes, until it is cancelled, what nobody uses any more."""
        while True:
            await self.sweep()
            await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep(self) -> None:
        """Removes what nobody has used for two days."""
        await anyio.to_thread.run_sync(_sweep, self.receiver.home, time.time() - KEPT_S)


class Sharing(NamedTuple):
    """What hosts and the control plane share instead of a disk, and how a process sends work and takes it."""

    blobs: ports.Blobs
    sender: parcels.Sender
    places: Places


def sharing(blobs: ports.Blobs, git: git_process.Git, home: Path) -> Sharing:
    """Returns how a process with the state folder `home` shares work through blobs that all of them reach."""
    return Sharing(blobs, parcels.Sender(git, blobs), Places(parcels.Receiver(git, blobs, home / FOLDER)))


def is_to_stay(outcome: model.Outcome, details: Mapping[str, model.Json]) -> bool:
    """Returns whether the next attempt may go on in a place: its session lies there and is not over."""
    return outcome.state is not model.AttemptState.SUCCEEDED and bool(details.get(ports.SESSION))


def _begun_anew(work: work_order.WorkOrder) -> work_order.WorkOrder:
    """Returns the order without a session whose changes are not here: who goes on with it would take them for made."""
    if not work.directory or not work.last_beat.get(ports.SESSION):
        return work
    return replace(work, last_beat={name: value for name, value in work.last_beat.items() if name in ports.FIRST})


def _order_in(work: work_order.WorkOrder, folder: Path) -> work_order.WorkOrder:
    """Returns the order for another folder than that of whoever gave it."""
    copy = merge_rules.order_for_copy(work, str(folder))
    return order_papers.elsewhere(copy, str(folder), str(folder) if work.directory else "")


def _is_of(folder: Path, parcel: parcels.Parcel) -> bool:
    """Returns whether a place is there that was made of a parcel with the same contents."""
    try:
        before = parcel_of(_mark(folder).read_bytes())
    except (OSError, ValueError):
        return False
    return folder.is_dir() and (before.head, before.state) == (parcel.head, parcel.state)


def _mark(folder: Path) -> Path:
    """Returns the file beside a place that says what was laid out there."""
    return folder.with_name(f"{folder.name}.parcel")


def _sweep(home: Path, until: float) -> None:
    with contextlib.suppress(FileNotFoundError):
        for entry in home.iterdir():
            with contextlib.suppress(OSError):
                if entry.stat().st_mtime < until:
                    shutil.rmtree(entry, ignore_errors=True)
