"""Which row of a file is which thing, so that importing it twice changes nothing the second time?

A row with an id of its own is that id. A row without one is its content, and its place among rows that are
equal to it: two equal rows are two things, and stay two when the file comes again.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Identities:
    """What became of the rows, by row number. Every row is in exactly one of the three.

    ``keys``: row → its id within the dataset. ``repeats``: row → the earlier row that says exactly the same
    under the same id; it is counted as the same, once. ``conflicts``: row → why it is rejected: its id
    stands in the file more than once with different content, and nobody can say which one is right.
    """

    keys: dict[int, str]
    repeats: dict[int, int]
    conflicts: dict[int, str]


def content_hash(cells: Mapping[str, str]) -> str:
    """Return 32 hex digits that say what the row says. Order of columns, empty cells and outer blanks do
    not count.

    Give it the cells that are mapped, under their fields' names: a column that the source adds or renames
    later must not make every row a new one.
    """
    digest = hashlib.sha256()
    for name in sorted(cells):
        if text := cells[name].strip():
            for part in (name.encode(), text.encode("utf-8", "surrogatepass")):
                # Its length before each part: ("ab", "c") and ("a", "bc") must differ.
                digest.update(len(part).to_bytes(4) + part)
    return digest.hexdigest()[:32]


def identify(rows: Iterable[tuple[int, str, str]]) -> Identities:
    """Return who is who among rows of (row number, id or empty, content hash), in the file's order.

    The hash is of the whole content, the id apart. Memory is about 500 bytes a row.
    """
    rows_of: dict[str, list[int]] = {}
    content_of: dict[str, str] = {}
    clashing: set[str] = set()
    equal: dict[str, int] = {}  # content -> how many rows without id have it so far
    for row, given, content in rows:
        key = given.strip() or _place_among_equals(content, equal, rows_of)
        rows_of.setdefault(key, []).append(row)
        if content_of.setdefault(key, content) != content:
            clashing.add(key)
    keys: dict[int, str] = {}
    repeats: dict[int, int] = {}
    conflicts: dict[int, str] = {}
    for key, together in rows_of.items():
        if key in clashing:
            listed = ", ".join(map(str, together[:10])) + (", …" if len(together) > 10 else "")
            reason = f"The id {key[:80]!r} stands in rows {listed} with different content; none is taken."
            conflicts.update(dict.fromkeys(together, reason))
        else:
            keys[together[0]] = key
            repeats.update(dict.fromkeys(together[1:], together[0]))
    return Identities(keys, repeats, conflicts)


def _place_among_equals(content: str, equal: dict[str, int], taken: dict[str, list[int]]) -> str:
    while True:
        equal[content] = equal.get(content, 0) + 1
        key = f"content:{content}:{equal[content]}"
        if key not in taken:  # a file that we exported may bring such ids along
            return key


# --- The same for a million rows, as columns ----------------------------------------------

MOST_LISTED = 10
BETWEEN = "\x1f"  # a control character: no cell that can be used has one
PER_DIGEST = 16  # bytes


@dataclass(frozen=True)
class SetIdentities:
    """What became of rows, by their place among the rows given; about 60 bytes a row.

    ``contents``: bytes, PER_DIGEST a row, that say what a row says. ``ordinals``: the row's place among equal rows, from
    1, for rows without an id. ``repeats``: the number of the earlier row that says exactly the same under the same id, 0
    where there is none. ``conflicts``: rows whose id stands in the file more than once with different content, and why
    none of them is taken.
    """

    contents: bytes
    ordinals: np.ndarray
    repeats: np.ndarray
    conflicts: dict[int, str]

    def keys(self, start: int, ids: pa.Array) -> pa.Array:
        """Return the ids within the data set of the rows from ``start`` on, which have the given ids or none."""
        keys = ids.to_pylist()
        for at, given in enumerate(keys):
            if not given:
                keys[at] = f"content:{self.content(start + at)}:{self.ordinals[start + at]}"
        return pa.array(keys, pa.string())

    def content(self, row: int) -> str:
        """Return 32 hex digits that say what the row says."""
        return self.contents[row * PER_DIGEST : (row + 1) * PER_DIGEST].hex()


def identify_all(rows: Iterable[tuple[np.ndarray, pa.Array, pa.Array]]) -> SetIdentities:
    """Return who is who among chunks of rows in the file's order: numbers, ids ("" for none), contents (``as_content``)."""
    numbers: list[np.ndarray] = []
    keys, contents, without_id = bytearray(), bytearray(), []
    for number, ids, content in rows:
        numbers.append(number)
        digests = _digests(content)
        has_none = pc.equal(ids, "").to_numpy(zero_copy_only=False)
        keys += digests if has_none.all() else _mixed(_digests(ids), digests, has_none)
        contents += digests
        without_id.append(has_none)
    if not numbers:
        return SetIdentities(b"", np.zeros(0, np.int32), np.zeros(0, np.int32), {})
    return _among(np.concatenate(numbers), bytes(keys), bytes(contents), np.concatenate(without_id))


def _among(number: np.ndarray, keys: bytes, contents: bytes, without_id: np.ndarray) -> SetIdentities:
    high, low = np.frombuffer(keys, np.uint64).reshape(-1, 2).T
    said = np.frombuffer(contents, np.uint64).reshape(-1, 2)
    order = np.lexsort((low, high, without_id))  # stable: equal rows stay in the file's order
    is_first = np.ones(len(order), bool)
    is_first[1:] = (
        (high[order][1:] != high[order][:-1])
        | (low[order][1:] != low[order][:-1])
        | (without_id[order][1:] != without_id[order][:-1])
    )
    starts = np.flatnonzero(is_first)
    sizes = np.diff(np.append(starts, len(order)))
    ordinals, repeats = np.ones(len(order), np.int32), np.zeros(len(order), np.int32)
    conflicts: dict[int, str] = {}
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        together = order[start : start + size]
        if without_id[together[0]]:
            ordinals[together] = np.arange(1, size + 1)
        elif (said[together] == said[together[0]]).all():
            repeats[together[1:]] = number[together[0]]
        else:
            listed = ", ".join(map(str, number[together[:MOST_LISTED]].tolist())) + (
                ", …" if size > MOST_LISTED else ""
            )
            reason = f"This id stands in rows {listed} with different content; none is taken."
            conflicts.update(dict.fromkeys(together.tolist(), reason))
    return SetIdentities(contents, ordinals, repeats, conflicts)


def as_content(cells: Mapping[str, pa.Array]) -> pa.Array:
    """Return a text for each row that says what it says, for comparing: like ``content_hash``, over whole columns.

    The cells are text by their fields' names, outer blanks taken off.
    """
    parts = []
    for name in sorted(cells):
        text = cells[name]
        parts.append(pc.if_else(pc.equal(text, ""), "", pc.binary_join_element_wise(name, text, "", BETWEEN)))
    return pc.binary_join_element_wise(*parts, "")


def _digests(texts: pa.Array) -> bytes:
    return b"".join(hashlib.blake2b(text.encode(), digest_size=PER_DIGEST).digest() for text in texts.to_pylist())


def _mixed(of_id: bytes, of_content: bytes, has_none: np.ndarray) -> bytes:
    by_id, by_content = (np.frombuffer(each, np.uint64).reshape(-1, 2) for each in (of_id, of_content))
    return np.where(has_none[:, None], by_content, by_id).tobytes()
