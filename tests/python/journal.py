"""Reads a journal as docs/format.md describes it, without our code: what tests compare recorded events with."""

from __future__ import annotations

import json
import resource
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEGMENT_HEADER = struct.Struct("<8sII16sQQqII")
FRAME_HEADER = struct.Struct("<IIQB3s")
EVENT, INTENT, OUTCOME, LOSS, CLOSE = range(1, 6)


@dataclass
class Item:
    """One event of a frame; ``body`` is ``None`` where an OUTCOME says that nothing happened."""

    event: uuid.UUID
    recorded_at: int
    body: dict[str, Any] | None


@dataclass
class Frame:
    """One frame; ``intent``, ``evidence`` and ``result`` only where the kind has them."""

    stream: uuid.UUID
    sequence: int
    kind: int
    items: list[Item]
    intent: uuid.UUID | None = None
    alias: str | None = None
    evidence: int | None = None
    result: int | None = None
    lost: int | None = None


@contextmanager
def taking_nothing(data_dir: Path, service: str) -> Iterator[None]:
    """The only segment of a service takes no byte more, as if its disk gave an error; nor does any longer file of this process."""
    (segment,) = (data_dir / "journal" / service).glob("[!.]*-*/*.journal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def frames(data_dir: Path, service: str) -> list[Frame]:
    """Every frame of every stream of a service, stream by stream in the order of their names (which are in the order of time)."""
    streams = sorted(path for path in (data_dir / "journal" / service).glob("[!.]*-*") if path.is_dir())
    return [frame for stream in streams for segment in sorted(stream.glob("*.journal")) for frame in _segment(segment)]


def events(data_dir: Path, service: str) -> list[dict[str, Any]]:
    """The bodies of plain events and of what was committed, in the order of the journal, as the agent would make leaves of them."""
    all_frames = frames(data_dir, service)
    outcomes = {frame.intent: frame for frame in all_frames if frame.kind == OUTCOME}
    bodies: list[dict[str, Any] | None] = []
    for frame in all_frames:
        if frame.kind == EVENT:
            bodies += [item.body for item in frame.items]
        elif frame.kind == INTENT:
            bodies += _committed(frame, outcomes.get(frame.intent))
    return [body for body in bodies if body is not None]


def _committed(intent: Frame, outcome: Frame | None) -> list[dict[str, Any] | None]:
    if outcome is not None and outcome.result in (2, 4):
        return []
    items = outcome.items if outcome is not None and outcome.items else intent.items
    return [item.body for item in items]


def _segment(path: Path) -> Iterator[Frame]:
    data = path.read_bytes()
    magic, version, length, stream, *_ = SEGMENT_HEADER.unpack_from(data)
    assert (magic, version, length) == (b"INDELJNL", 1, 64), path
    at = length
    while at + FRAME_HEADER.size <= len(data):
        size, checksum, sequence, kind, _zero = FRAME_HEADER.unpack_from(data, at)
        payload = data[at + FRAME_HEADER.size : at + FRAME_HEADER.size + size]
        covered = stream + data[at : at + 4] + data[at + 8 : at + FRAME_HEADER.size] + payload
        if len(payload) < size or crc32c(covered) != checksum:
            return
        yield _frame(uuid.UUID(bytes=stream), sequence, kind, payload)
        at += FRAME_HEADER.size + size


def _frame(stream: uuid.UUID, sequence: int, kind: int, payload: bytes) -> Frame:
    if kind == EVENT:
        return Frame(stream, sequence, kind, list(_items(payload, 0, 1)))
    if kind == LOSS:
        return Frame(stream, sequence, kind, [], lost=struct.unpack_from("<Q", payload)[0])
    if kind == CLOSE:
        return Frame(stream, sequence, kind, [])
    intent = uuid.UUID(bytes=payload[:16])
    if kind == OUTCOME:
        result, count = struct.unpack_from("<BI", payload, 16)
        return Frame(stream, sequence, kind, list(_items(payload, 21, count)), intent=intent, result=result)
    alias_length = payload[17]
    alias = payload[18 : 18 + alias_length].decode()
    (count,) = struct.unpack_from("<I", payload, 18 + alias_length)
    items = list(_items(payload, 22 + alias_length, count))
    return Frame(stream, sequence, kind, items, intent=intent, alias=alias, evidence=payload[16])


def _items(payload: bytes, at: int, count: int) -> Iterator[Item]:
    for _ in range(count):
        event, recorded_at, length = struct.unpack_from("<16sqI", payload, at)
        at += 28
        body = payload[at : at + length]
        at += length
        yield Item(uuid.UUID(bytes=event), recorded_at, json.loads(body) if body else None)
    assert at == len(payload), "the payload is longer than its items"


def crc32c(data: bytes) -> int:
    """CRC32C (Castagnoli), bit-reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_row(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC_TABLE = [_crc_row(value) for value in range(256)]
