"""Groups of images that are held out whole or not at all."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from gansmith.data.cache import Record, _read_record, _write_record
from gansmith.data.images import Images, open_images
from gansmith.data.prepare import options
from gansmith.data.sources import Item, Source


def grouped(count: int, group: Callable[[int], str], seed: int = 0) -> Images:
    """Random images, each in a group."""
    rows = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)

    def walk() -> Iterator[Item]:
        for i, row in enumerate(rows):
            yield Item(f"image {i}", partial(np.array, row), group=group(i))

    source = Source("grouped", (), walk, count, paths=False, variant=f"test {seed} {group(0)} {group(1)}")
    return open_images(source, options(None, "crop", "white", None), None, False)


def test_no_group_is_on_both_sides() -> None:
    data = grouped(400, lambda i: f"photograph {i % 40}")
    train, held = ({row % 40 for row in rows.tolist()} for rows in (data.train, data.held_out))
    assert len(data.train) + len(data.held_out) == 400 and not train & held
    assert 1 <= len(held) <= 10 and len(data.held_out) == 10 * len(held)


def test_the_name_of_the_group_alone_decides() -> None:
    first, second = (grouped(200, lambda i: f"photograph {i % 20}", seed) for seed in (0, 1))
    assert np.array_equal(first.held_out, second.held_out)
    other = grouped(200, lambda i: f"picture {i % 20}")
    assert not np.array_equal(first.held_out, other.held_out) and first.fingerprint != other.fingerprint


def test_without_a_group_the_content_decides_as_ever() -> None:
    none, some = grouped(300, lambda i: ""), grouped(300, lambda i: "x" if i % 2 else "")
    alone = [i for i in range(0, 300, 2)]
    assert [i for i in alone if i in none.held_out] == [i for i in alone if i in some.held_out]
    assert len({i in some.held_out for i in range(1, 300, 2)}) == 1
    assert none.fingerprint != some.fingerprint


def test_two_groups_are_enough() -> None:
    data = grouped(20, lambda i: "ab"[i % 2])
    assert {len(data.train), len(data.held_out)} == {10}


def test_records_of_earlier_versions_are_read(tmp_path: Path) -> None:
    record = Record(8, 3, names=["a", "b"], digests=["0" * 32, "f" * 32])
    assert record.keys == record.digests
    _write_record(tmp_path / "new", record)
    assert _read_record(tmp_path / "new") == record
    fields = asdict(record)
    del fields["groups"]
    text = json.dumps(fields)
    (tmp_path / "old").write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
    assert _read_record(tmp_path / "old") == record
