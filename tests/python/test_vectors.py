"""Reads ``testdata/vectors`` as a stranger would: from ``docs/format.md`` and the RFCs alone.

Nothing here uses the package. What Rust wrote is computed again in plain Python, so a mistake in the format that both
sides of the Rust code share still shows.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[2] / "testdata" / "vectors"
VERDICTS = {"recorded": 1, "committed": 2, "committed_by_marker": 3, "committed_by_outbox": 4, "in_doubt": 5}


def read(name: str) -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return vectors


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


# Leaf ------------------------------------------------------------------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00", entry)


@pytest.mark.parametrize("leaf", read("leaves.json")["leaves"], ids=lambda leaf: leaf["verdict"])
def test_leaf_entry_commits_to_salt_and_body(leaf: dict[str, Any]) -> None:
    salt, body = bytes.fromhex(leaf["salt"]), leaf["body"].encode()
    commitment = sha256(b"indelible commitment v1\n", salt, body)
    entry = struct.pack(
        "<B16s16sQQIqqB32s",
        1,
        bytes.fromhex(leaf["event"]),
        bytes.fromhex(leaf["stream"]),
        leaf["stream_index"],
        leaf["sequence"],
        leaf["item"],
        leaf["recorded_at"],
        leaf["received_at"],
        VERDICTS[leaf["verdict"]],
        commitment,
    )
    assert len(entry) == 102
    assert commitment.hex() == leaf["commitment"]
    assert entry.hex() == leaf["entry"]
    assert leaf_hash(entry).hex() == leaf["leaf_hash"]


def test_every_verdict_has_a_vector() -> None:
    assert {leaf["verdict"] for leaf in read("leaves.json")["leaves"]} == set(VERDICTS)


# Tree (RFC 9162 §2.1, by its recursive definitions) --------------------------------------------------------------------

LEAVES = [leaf_hash(struct.pack("<Q", index)) for index in range(4097)]


def split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


def root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return leaves[0]
    middle = split(len(leaves))
    return sha256(b"\x01", root(leaves[:middle]), root(leaves[middle:]))


def inclusion(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    middle = split(len(leaves))
    if index < middle:
        return [*inclusion(index, leaves[:middle]), root(leaves[middle:])]
    return [*inclusion(index - middle, leaves[middle:]), root(leaves[:middle])]


def consistency(old_size: int, leaves: list[bytes], *, whole: bool = True) -> list[bytes]:
    if old_size == 0:
        return []
    if old_size == len(leaves):
        return [] if whole else [root(leaves)]
    middle = split(len(leaves))
    if old_size <= middle:
        return [*consistency(old_size, leaves[:middle], whole=whole), root(leaves[middle:])]
    return [*consistency(old_size - middle, leaves[middle:], whole=False), root(leaves[:middle])]


def frontier(leaves: list[bytes]) -> bytes:
    """Size, then the roots of the complete subtrees that it is the sum of, largest first."""
    encoded, start = struct.pack("<Q", len(leaves)), 0
    for power in reversed(range(len(leaves).bit_length())):
        if len(leaves) >> power & 1:
            encoded += root(leaves[start : start + (1 << power)])
            start += 1 << power
    return encoded


@pytest.mark.parametrize("tree", read("tree.json")["roots"], ids=lambda tree: str(tree["tree_size"]))
def test_root_and_frontier(tree: dict[str, Any]) -> None:
    leaves = LEAVES[: tree["tree_size"]]
    assert root(leaves).hex() == tree["root_hash"]
    assert frontier(leaves).hex() == tree["frontier"]


def test_inclusion_proofs() -> None:
    proofs = read("tree.json")["inclusion"]
    assert proofs
    for proof in proofs:
        path = inclusion(proof["leaf_index"], LEAVES[: proof["tree_size"]])
        assert [node.hex() for node in path] == proof["path"], proof


def test_consistency_proofs() -> None:
    proofs = read("tree.json")["consistency"]
    assert proofs
    for proof in proofs:
        path = consistency(proof["old_size"], LEAVES[: proof["new_size"]])
        assert [node.hex() for node in path] == proof["path"], proof


# Notes (C2SP signed-note; Ed25519 by the formulas of RFC 8032 §5.1) ----------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def recover_x(y: int, sign: int) -> int:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        raise ValueError("not a point of the curve")
    return P - x if x & 1 != sign else x


def decode_point(encoded: bytes) -> Point:
    number = int.from_bytes(encoded, "little")
    y = number & (1 << 255) - 1
    return recover_x(y, number >> 255), y


def encode_point(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def add(a: Point, b: Point) -> Point:
    product = D * a[0] * b[0] * a[1] * b[1]
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P)
    return x % P, y % P


def multiply(factor: int, point: Point) -> Point:
    result = (0, 1)
    while factor:
        if factor & 1:
            result = add(result, point)
        point, factor = add(point, point), factor >> 1
    return result


BASE = (recover_x(4 * pow(5, -1, P) % P, 0), 4 * pow(5, -1, P) % P)


def public_key(seed: bytes) -> bytes:
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    return encode_point(multiply(int.from_bytes(digest, "little"), BASE))


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or s >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % ORDER
    return multiply(s, BASE) == add(decode_point(r), multiply(challenge, decode_point(public)))


def key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode(), b"\n\x01", public)[:4]


def signed_text(note: str, verifier: str) -> str | None:
    """The text of the note if this key signed it."""
    name, _, encoded = verifier.split("+", 2)
    public = base64.b64decode(encoded, validate=True)[1:]
    text, separator, block = note.rpartition("\n\n")
    if not separator or not block.endswith("\n"):
        return None
    for line in block[:-1].split("\n"):
        dash, signer, blob = line.split(" ")
        signature = base64.b64decode(blob, validate=True)
        by_us = dash == "—" and signer == name and signature[:4] == key_id(name, public)
        if by_us and verifies(public, f"{text}\n".encode(), signature[4:]):
            return f"{text}\n"
    return None


def test_keys_belong_to_the_seed() -> None:
    notes = read("notes.json")
    seed = bytes.fromhex(notes["seed"])
    public, name = public_key(seed), notes["origin"]
    label = f"{name}+{key_id(name, public).hex()}+"
    assert notes["verifier"] == label + base64.b64encode(b"\x01" + public).decode()
    assert notes["signing_key"] == "PRIVATE+KEY+" + label + base64.b64encode(b"\x01" + seed).decode()


def test_checkpoints_and_state_are_signed() -> None:
    notes = read("notes.json")
    for checkpoint in notes["checkpoints"]:
        size = checkpoint["tree_size"]
        root_hash = root(LEAVES[:size])
        assert root_hash.hex() == checkpoint["root_hash"]
        expected = f"{notes['origin']}\n{size}\n{base64.b64encode(root_hash).decode()}\n"
        assert signed_text(checkpoint["note"], notes["verifier"]) == expected
    state = notes["state"]
    digest = base64.b64encode(bytes.fromhex(state["digest"])).decode()
    expected = f"indelible state v1\n{notes['origin']}\n{state['tree_size']}\n{digest}\n"
    assert signed_text(state["note"], notes["verifier"]) == expected


def test_the_batch_is_signed() -> None:
    notes = read("notes.json")
    batch = notes["batch"]
    names = ("root_hash", "state", "previous_state")
    hashes = [base64.b64encode(bytes.fromhex(batch[name])).decode() for name in names]
    expected = "\n".join(["indelible batch v1", notes["origin"], str(batch["tree_size"]), *hashes, ""])
    assert signed_text(batch["note"], notes["verifier"]) == expected


def test_the_seal_is_signed() -> None:
    notes = read("notes.json")
    seal = notes["seal"]
    digest = base64.b64encode(bytes.fromhex(seal["digest"])).decode()
    numbers = [str(seal["first_index"]), str(seal["end_index"])]
    expected = "\n".join(["indelible seal v1", notes["origin"], *numbers, digest, ""])
    assert signed_text(seal["note"], notes["verifier"]) == expected


@pytest.mark.parametrize("refused", read("notes.json")["refused"], ids=lambda refused: refused["why"])
def test_refused_notes_are_not_signed(refused: dict[str, str]) -> None:
    assert signed_text(refused["note"], read("notes.json")["verifier"]) is None


# Receipts (C2SP tlog-proof) -------------------------------------------------------------------------------------------


def climb(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that a leaf and the siblings on its way up lead to (RFC 6962 §2.1.1)."""
    if size == 1:
        assert not path
        return leaf
    middle = split(size)
    if index < middle:
        return sha256(b"\x01", climb(leaf, index, middle, path[:-1]), path[-1])
    return sha256(b"\x01", path[-1], climb(leaf, index - middle, size - middle, path[:-1]))


@pytest.mark.parametrize("stored", read("receipts.json")["receipts"], ids=["body", "empty body", "no body"])
def test_receipt(stored: dict[str, Any]) -> None:
    head, _, checkpoint = stored["receipt"].partition("\n\n")
    title, extra, index, *path = head.split("\n")
    assert title == "c2sp.org/tlog-proof@v1"
    record = base64.b64decode(extra.removeprefix("extra "), validate=True)
    own_title = b"indelible receipt v1\n"
    assert record.startswith(own_title)
    entry, shown = record[len(own_title) :][:102], record[len(own_title) :][102:]
    if stored["body"] is None:
        assert not shown
    else:
        assert shown[32:] == stored["body"].encode()
        assert sha256(b"indelible commitment v1\n", shown) == entry[70:]
    text = signed_text(checkpoint, stored["verifier"])
    assert text is not None
    origin, size, root_hash = text.splitlines()
    assert origin == stored["verifier"].partition("+")[0]
    nodes = [base64.b64decode(node, validate=True) for node in path]
    found = climb(leaf_hash(entry), int(index.removeprefix("index ")), int(size), nodes)
    assert found == base64.b64decode(root_hash) == bytes.fromhex(stored["root_hash"])


# Journal ---------------------------------------------------------------------------------------------------------------


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def items(frame: dict[str, Any]) -> bytes:
    encoded = b""
    for item in frame["items"]:
        body = item["body"].encode()
        encoded += struct.pack("<16sqI", bytes.fromhex(item["event"]), item["recorded_at"], len(body)) + body
    return encoded


RESULTS = {
    ("committed", "ack"): 1,
    ("rolled_back", "ack"): 2,
    ("committed", "marker"): 3,
    ("rolled_back", "marker"): 4,
    ("committed", "outbox"): 5,
}


def payload(frame: dict[str, Any]) -> tuple[int, bytes]:
    """The kind of a frame and what it carries."""
    if frame["kind"] == "loss":
        return 4, struct.pack("<Qqq", frame["count"], frame["first_at"], frame["last_at"])
    if frame["kind"] == "close":
        return 5, b""
    if frame["kind"] == "event":
        return 1, items(frame)
    intent, count = bytes.fromhex(frame["intent"]), struct.pack("<I", len(frame["items"]))
    if frame["kind"] == "outcome":
        result = RESULTS[frame["result"], frame["by"]]
        return 3, intent + bytes([result]) + count + items(frame)
    evidence, alias = {"ack": 0, "marker": 1, "outbox": 2}[frame["evidence"]], frame["alias"].encode()
    return 2, intent + bytes([evidence, len(alias)]) + alias + count + items(frame)


def test_the_checksum_is_castagnoli() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_segment_header() -> None:
    vectors = read("journal.json")
    header = vectors["header"]
    fields = (bytes.fromhex(vectors["stream"]), header["number"], header["first_sequence"], header["created_at"])
    encoded = struct.pack("<8sII16sQQqI", b"INDELJNL", 1, 64, *fields, 0)
    assert (encoded + struct.pack("<I", crc32c(encoded))).hex() == header["bytes"]


@pytest.mark.parametrize("frame", read("journal.json")["frames"], ids=lambda f: f"{f['sequence']}-{f['kind']}")
def test_frame(frame: dict[str, Any]) -> None:
    stream = bytes.fromhex(read("journal.json")["stream"])
    kind, carried = payload(frame)
    length, rest = struct.pack("<I", len(carried)), struct.pack("<QB3x", frame["sequence"], kind)
    checksum = struct.pack("<I", crc32c(stream + length + rest + carried))
    assert (length + checksum + rest + carried).hex() == frame["bytes"]


def test_every_kind_of_frame_has_a_vector() -> None:
    kinds = {frame["kind"] for frame in read("journal.json")["frames"]}
    assert kinds == {"event", "intent", "outcome", "loss", "close"}
