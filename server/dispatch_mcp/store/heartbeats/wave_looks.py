"""What many attempts of a run saw alike of their workspace, stored once and named by its digest in their heartbeats.

A heartbeat is a mapping; in its detail `ports.LOOK` the parts `ports.COMMON_PARTS` are mappings too, and long where
much is uncommitted. A whole heartbeat has them in it, a short one their digests.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import ports
from dispatch_mcp.store import codec
from dispatch_mcp.store.reader import Reader
from dispatch_mcp.text import json_types

MOST_PARTS = 16
"""Parts that stay read, the newest."""

_KEEP = "INSERT INTO common_look (run, digest, text) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_READ = """
SELECT digest, text FROM common_look
WHERE run = (SELECT no FROM run WHERE id = ?) AND digest IN (SELECT value FROM json_each(?))
"""

Part = Mapping[str, model.Json]


class ShortBeat(NamedTuple):
    """The text of a heartbeat as it is stored, and the texts that it names, by their digests."""

    text: str
    parts: Mapping[str, str] = {}


class Shortener:
    """Makes heartbeats short; those that share a part, the very same mapping, have it encoded once."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[Part, str, str]] = {}

    def short(self, details: Mapping[str, model.Json]) -> ShortBeat:
        """Returns a heartbeat without its common parts, and those parts."""
        look = details.get(ports.LOOK)
        if not json_types.is_object(look):
            return ShortBeat(codec.dump_map(dict(details)))
        texts = {name: self._text(part) for name, part in _parts(look).items()}
        names: dict[str, model.Json] = {name: digest for name, (digest, _) in texts.items()}
        return ShortBeat(codec.dump_map({**details, ports.LOOK: {**look, **names}}), dict(texts.values()))

    def _text(self, part: Part) -> tuple[str, str]:
        """Returns the digest and the text of a part, which is kept here so that no other one can have its identity."""
        entry = self._texts.get(id(part))
        if entry is None:
            text = codec.dump_map(part)
            entry = self._texts[id(part)] = part, hashlib.sha256(text.encode()).hexdigest(), text
        return entry[1:]


def keep(conn: sqlite3.Connection, run_no: int, beats: Iterable[ShortBeat]) -> None:
    """Adds the parts that these heartbeats of a run name, unless they are there."""
    parts = {digest: text for beat in beats for digest, text in beat.parts.items()}
    conn.executemany(_KEEP, [(run_no, digest, text) for digest, text in parts.items()])


class CommonLooks:
    """Makes heartbeats whole that were read from the store; heartbeats that name the same part share it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._parts: dict[str, Part] = {}

    async def fill(self, run_id: str, beats: Iterable[Mapping[str, model.Json]]) -> None:
        """Puts the parts that heartbeats of a run name into them; a name stays where nothing is stored under it."""
        looks: list[dict[str, model.Json]] = [
            beat[ports.LOOK] for beat in beats if ports.LOOK in beat and json_types.is_object(beat[ports.LOOK])
        ]
        names = {name for look in looks for name in _names(look).values()}
        if not names:
            return
        parts = {digest: self._parts[digest] for digest in names & self._parts.keys()}
        if unread := sorted(names - parts.keys()):
            parts |= await self._reader.read(_READ, (codec.clean(run_id), json.dumps(unread)), _decoded)
            self._parts |= parts
            for digest in list(self._parts)[:-MOST_PARTS]:
                del self._parts[digest]
        for look in looks:
            look.update({name: parts[digest] for name, digest in _names(look).items() if digest in parts})


def _decoded(rows: Iterable[tuple[object, ...]]) -> dict[str, Part]:
    return {str(digest): codec.load_map(str(text)) for digest, text in rows}


def _parts(look: Part) -> dict[str, Part]:
    return {name: part for name in ports.COMMON_PARTS if json_types.is_object(part := look.get(name)) and part}


def _names(look: Part) -> dict[str, str]:
    return {name: part for name in ports.COMMON_PARTS if isinstance(part := look.get(name), str)}
