"""Sets of two sides: images of A and B that belong together, or two domains without partners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from gansmith.core import DataSpec
from gansmith.data.check import Report
from gansmith.data.degrade import Degradation
from gansmith.data.images import Images, digest_of
from gansmith.data.store import corners
from gansmith.errors import GansmithError

FIELDS = ("a", "b")


class Degraded:
    """The images of a set as a degradation makes them: anew at each fetch, those held out always the same."""

    def __init__(self, images: Images, degradation: Degradation) -> None:
        self._images, self._degradation = images, degradation
        (c, side, _), scale = images.spec.shape, degradation.scale
        if side % scale:
            raise GansmithError(
                f'resolution = {side} is no multiple of {scale}, by which "{degradation.text}" divides it: give one, '
                f"such as {max(scale, side - side % scale)}."
            )
        shape = (degradation.channels(c), side // scale, side // scale)
        self.spec = DataSpec(images.spec.name, "image", shape, images.spec.count)
        self.train, self.held_out, self.names = images.train, images.held_out, images.names
        self.fingerprint = digest_of("degraded", images.fingerprint, degradation.text)
        self.info = images.info | {"degrade": degradation.text, "resolution": shape[1], "channels": shape[0]}
        self.report = replace(images.report, learned=f"{shape[2]} x {shape[1]} x {shape[0]} ({degradation.text})")

    def degraded(self, b: Tensor) -> Tensor:
        """Images (n, C, H, W) as images of A (n, C', H / scale, W / scale), from torch's global random state."""
        return self._degradation(b).to(torch.float32).contiguous(memory_format=torch.channels_last)

    def fetch(
        self, index: np.ndarray, fields: Sequence[str] = ("x",), device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """The degraded training images at positions `index` (n,), as `Images.fetch`; "x" is the only field."""
        _refuse(self.spec, fields)
        return (self.degraded(self._images.fetch(index, ("x",), device)[0]),)

    def fetch_held_out(
        self, index: np.ndarray, fields: Sequence[str] = ("x",), device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """As `fetch`, of images that are never trained on; the random state of each is its own, by its content."""
        _refuse(self.spec, fields)
        (b,) = self._images.fetch_held_out(index)
        a = torch.empty(len(b), *self.spec.shape).contiguous(memory_format=torch.channels_last)
        with torch.random.fork_rng(devices=[]):
            for i, row in enumerate(self.held_out[index]):
                torch.default_generator.manual_seed(int(self._images.digests[row][:15], 16))
                a[i : i + 1] = self.degraded(b[i : i + 1])
        return (a.to(device),)


class Pairs:
    """Images of A and B that belong together, float32 (n, C, H, W) in [-1, 1] each, in channels_last layout.

    `a` and `b` are the two sides, position by position; `train` and `held_out` are rows of A. Of windows, both sides
    show the same part.

    Args:
        title: for messages.
        a, b: the sides.
        report: what the data check found.
        apart: makes the two domains; None = they are the two sides.
        scale: how many times larger the windows of B are.
    """

    def __init__(
        self,
        title: str,
        a: Images | Degraded,
        b: Images,
        report: Report,
        apart: Callable[[], Domains] | None = None,
        scale: int = 1,
    ) -> None:
        self.a, self.b, self.report, self._scale = a, b, report, scale
        self._apart = apart
        self.train, self.held_out, self.names = a.train, a.held_out, a.names
        self.spec = DataSpec(title, "pairs", a.spec.shape, len(a.train), FIELDS, target=b.spec.shape)
        self.fingerprint = digest_of("pairs", a.fingerprint, b.fingerprint, scale)
        self.info = _info(title, a, b, report)

    def fetch(
        self, index: np.ndarray, fields: Sequence[str] = FIELDS, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """The training pairs at positions `index` (n,), 0 to count - 1: one tensor for each of `fields`."""
        _refuse(self.spec, fields)
        if isinstance(self.a, Degraded):
            (b,) = self.b.fetch(index, ("x",), device)
            return tuple(b if name == "b" else self.a.degraded(b) for name in fields)
        return self._sides(index, fields, device, True)

    def fetch_held_out(
        self, index: np.ndarray, fields: Sequence[str] = FIELDS, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """As `fetch`, of the pairs that are never trained on: positions 0 to len(held_out) - 1, always the same."""
        _refuse(self.spec, fields)
        return self._sides(index, fields, device, False)

    def apart(self) -> Domains:
        """The same data as two domains, for recipes that need no partners; those of held-out images are held out."""
        return self._apart() if self._apart else Domains(self.spec.name, self.a, self.b, self.report)

    def _sides(
        self, index: np.ndarray, fields: Sequence[str], device: torch.device | str, random: bool
    ) -> tuple[Tensor, ...]:
        a, b = self.a, self.b
        if isinstance(a, Images) and a.window:
            rows = [side.train[index] if random else side.held_out[index] for side in (a, b)]
            room = torch.minimum(a.room(rows[0]), b.room(rows[1]) // self._scale)
            corner = corners(room, a.window, random)
            where = torch.device(device)
            get = {
                "a": lambda: a.windows(rows[0], corner, where),
                "b": lambda: b.windows(rows[1], corner * self._scale, where),
            }
            return tuple(get[name]() for name in fields)
        fetch = {"a": a.fetch, "b": b.fetch} if random else {"a": a.fetch_held_out, "b": b.fetch_held_out}
        return tuple(fetch[name](index, ("x",), device)[0] for name in fields)


class Domains:
    """Two sets of images, A and B, of which nobody knows partners.

    `a` and `b` are the sides, each with an order and a held-out part of its own; `train` and `held_out` are the
    positions that both sides have, and `spec.count` the smaller number of training images.
    """

    def __init__(self, title: str, a: Images | Degraded, b: Images, report: Report) -> None:
        self.a, self.b, self.report = a, b, report
        count = min(len(a.train), len(b.train))
        self.train, self.held_out = np.arange(count), np.arange(min(len(a.held_out), len(b.held_out)))
        self.spec = DataSpec(title, "domains", a.spec.shape, count, FIELDS, target=b.spec.shape)
        self.fingerprint = digest_of("domains", a.fingerprint, b.fingerprint)
        self.info = _info(title, a, b, report)

    def fetch(
        self, index: np.ndarray, fields: Sequence[str] = FIELDS, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """The training images at positions `index` (n,) of the sides in `fields`, as far as each side goes."""
        _refuse(self.spec, fields)
        return tuple(self.side(name).fetch(index, ("x",), device)[0] for name in fields)

    def fetch_held_out(
        self, index: np.ndarray, fields: Sequence[str] = FIELDS, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """As `fetch`, of the images that are never trained on."""
        _refuse(self.spec, fields)
        return tuple(self.side(name).fetch_held_out(index, ("x",), device)[0] for name in fields)

    def side(self, name: str) -> Images | Degraded:
        """The side of a field, "a" or "b"."""
        return self.a if name == "a" else self.b


def _refuse(spec: DataSpec, fields: Sequence[str]) -> None:
    missing = [name for name in fields if name not in spec.fields]
    if missing:
        raise GansmithError(f'"{spec.name}" has no "{missing[0]}": its fields are {", ".join(spec.fields)}.')


def _info(title: str, a: Images | Degraded, b: Images, report: Report) -> dict[str, object]:
    """What run.yaml says of the data."""
    return {
        "source": title,
        "found": report.count,
        "count": report.train,
        "held_out_count": report.held_out,
        "a": {k: v for k, v in a.info.items() if k != "source"},
        "b": {k: v for k, v in b.info.items() if k != "source"},
    }


# ---- pairs that a degradation makes


def open_degraded(images: Images, made: Degradation, pairs: bool | None = None) -> Pairs | Domains:
    """Pairs whose B is a set of images, and whose A is what a degradation makes of each, drawn anew each time.

    Args:
        pairs: False = as two domains.

    Raises:
        GansmithError: a resolution that the degradation does not divide.
    """
    a = Degraded(images, made)
    report = replace(images.report, learned=f"A {a.report.learned}, B {images.report.learned}", kind="pairs")
    found = Pairs(images.spec.name, a, images, report)
    return found.apart() if pairs is False else found
