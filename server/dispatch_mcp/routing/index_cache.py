"""An index as bytes and back, so that hundreds of agents load in milliseconds.

Layout: magic, CRC-32 of the rest, length of a JSON header, the header, then the packed arrays one after the other in
the machine's byte order, which the header names.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from array import array
from collections.abc import Mapping

from dispatch_mcp import model
from dispatch_mcp.routing import agent_index, bm25

MAGIC = b"DMIX"
_FRAME = struct.Struct("<4sIQ")
_POSTINGS = ("head", "whole", "body", "letters", "concepts")
_TABLES = ("exact", "near", "keywords")


def pack(found: agent_index.Index, fingerprint: str) -> bytes:
    """Returns the bytes of an index; `fingerprint` says what it was built from."""
    header: dict[str, model.Json] = {
        "fingerprint": fingerprint,
        "order": sys.byteorder,
        "size": found.size,
        "fallbacks": found.fallbacks,
        "priorities": found.priorities,
        "bodied": found.bodied,
        "fluency": found.fluency,
        **{name: getattr(found, name) for name in _TABLES},
    }
    arrays: list[bytes] = []
    for name in _POSTINGS:
        postings: bm25.Postings = getattr(found, name)
        parts = [part.tobytes() for part in _arrays(postings)]
        header[name] = {"absent": postings.absent, "sizes": [len(part) for part in parts]}
        arrays.extend(parts)
    told = json.dumps(header, separators=(",", ":")).encode()
    rest = struct.pack("<Q", len(told)) + told + b"".join(arrays)
    return _FRAME.pack(MAGIC, zlib.crc32(rest), len(rest)) + rest


def unpack(data: bytes, fingerprint: str) -> agent_index.Index:
    """Returns the index that `pack` made.

    Raises:
        ValueError: the bytes are damaged, from another machine or version, or of another fingerprint.
    """
    if len(data) < _FRAME.size + 8:
        raise ValueError("too short")
    magic, check, length = _FRAME.unpack_from(data)
    rest = memoryview(data)[_FRAME.size :]
    if magic != MAGIC or length != len(rest) or zlib.crc32(rest) != check:
        raise ValueError("damaged")
    told = struct.unpack_from("<Q", rest)[0]
    header = json.loads(bytes(rest[8 : 8 + told]))
    if header["fingerprint"] != fingerprint or header["order"] != sys.byteorder:
        raise ValueError("of something else")
    at = 8 + told
    postings: dict[str, bm25.Postings] = {}
    for name in _POSTINGS:
        postings[name] = _postings(header[name], header["size"], rest[at:])
        at += sum(header[name]["sizes"])
    return agent_index.Index(
        size=header["size"],
        head=postings["head"],
        whole=postings["whole"],
        body=postings["body"],
        letters=postings["letters"],
        concepts=postings["concepts"],
        exact=_table(header["exact"]),
        near=_table(header["near"]),
        keywords=_table(header["keywords"]),
        fallbacks=tuple(header["fallbacks"]),
        priorities=tuple(header["priorities"]),
        bodied=header["bodied"],
        fluency=header["fluency"],
    )


def _postings(told: Mapping[str, model.Json], size: int, data: memoryview) -> bm25.Postings:
    keys, starts, documents, impacts, rarity = array("I"), array("I"), array("H"), array("f"), array("f")
    at = 0
    for into, length in zip((keys, starts, documents, impacts, rarity), told["sizes"], strict=True):
        into.frombytes(data[at : at + length])
        at += length
    return bm25.Postings(size, keys, starts, documents, impacts, rarity, told["absent"])


def _arrays(postings: bm25.Postings) -> tuple[array[int] | array[float], ...]:
    return (postings.keys, postings.starts, postings.documents, postings.impacts, postings.rarity)


def _table(told: Mapping[str, list[int]]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(places) for key, places in told.items()}
