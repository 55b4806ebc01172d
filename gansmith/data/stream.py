"""The endless shuffled stream that a round draws from: a pure function of seed and position."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gansmith.data.images import Images
from gansmith.data.pairs import Domains, Pairs
from gansmith.data.points import Points
from gansmith.errors import GansmithError


def epoch_order(count: int, seed: int, epoch: int, side: int = 0) -> np.ndarray:
    """The order of `count` samples in one epoch, int64, the same with every version of numpy.

    Sides have orders of their own, so that two domains of as many images are not paired by their orders.
    Sorting raw Philox output is used because numpy promises that stream for good, and its shuffles not.
    """
    bits = np.random.Philox(np.random.SeedSequence([seed, epoch, side] if side else [seed, epoch]))
    return np.argsort(bits.random_raw(count), kind="stable")


class Order:
    """The endless order of `count` samples: each comes once an epoch, and every epoch is shuffled anew."""

    def __init__(self, count: int, seed: int, side: int = 0) -> None:
        self.count, self._seed, self._side = count, seed, side
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def __call__(self, start: int, n: int) -> np.ndarray:
        """Which samples come at the places start to start + n - 1, int64."""
        parts = []
        while n > 0:
            epoch, offset = divmod(start, self.count)
            if epoch != self._epoch:
                self._epoch, self._order = epoch, epoch_order(self.count, self._seed, epoch, self._side)
            part = self._order[offset : offset + n]
            parts.append(part)
            start, n = start + len(part), n - len(part)
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def few_of_each(dataset: Images, per_class: int, seed: int) -> np.ndarray:
    """Positions of `per_class` training images of each class, int64, chosen by the seed; 0 = of all that have labels.

    Raises:
        GansmithError: the data have no labels, or a class has fewer images.
    """
    if not dataset.spec.has("some_y"):
        raise GansmithError(f'"{dataset.spec.name}" has no labels to take {per_class} of each class from.')
    order = epoch_order(dataset.spec.count, seed, 2**32 - 1)
    y = dataset.fetch(order, ("some_y",))[0].numpy()
    if per_class == 0:
        return order[y >= 0]
    parts = []
    for number, name in enumerate(dataset.spec.classes):
        rows = order[y == number][:per_class]
        if len(rows) < per_class:
            raise GansmithError(
                f'"{dataset.spec.name}" has only {len(rows)} training images of class "{name}": ask for at most so '
                f"many labels of each class, not {per_class}."
            )
        parts.append(rows)
    return np.concatenate(parts)


class Stream:
    """`gansmith.core.Data` over a set: `stream(n)` gives this process's next n samples.

    All processes together draw n * world samples a call; this one gets its consecutive share. Every sample comes
    once an epoch; of two domains each side has its own order and epochs. Points are drawn fresh from torch's global
    random state, which the engine seeds each round.

    Args:
        dataset: what to draw from.
        draws: fields in the order wanted; one gives a tensor, several a tuple.
        seed: of the order, 0 or greater.
        device: where the samples go.
        rank, world: this process among all.
    """

    def __init__(
        self,
        dataset: Images | Points | Pairs | Domains,
        draws: Sequence[str] = ("x",),
        *,
        seed: int,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if seed < 0:
            raise GansmithError(f"seed = {seed} is out of range: give a whole number of at least 0.")
        missing = [name for name in draws if name not in dataset.spec.fields]
        if missing:
            raise GansmithError(f'"{dataset.spec.name}" has no "{missing[0]}", which this recipe draws.')
        self.dataset, self.draws, self.seed = dataset, tuple(draws), seed
        self.device, self.rank, self.world = torch.device(device), rank, world
        self.seen = self._drawn = 0
        self.waited = 0.0
        self._per_class, self._part = -1, np.zeros(0, np.int64)
        self._order = Order(dataset.spec.count, seed)
        self._orders: dict[str, Order] = {}
        if isinstance(dataset, Domains):
            counts = {"a": len(dataset.a.train), "b": len(dataset.b.train)}
            self._orders = {name: Order(count, seed, side) for side, (name, count) in enumerate(counts.items())}

    def seek(self, seen: int) -> None:
        """Go to the position after `seen` samples (all processes together)."""
        self.seen, self._drawn = seen, 0

    def __call__(self, n: int) -> Tensor | tuple[Tensor, ...]:
        """The next n samples: "x" (n, ...) float32, "y" (n,) int64; a tuple when there are several fields.

        `waited` adds up the seconds that this takes: a training that waits for its data is starved."""
        started = time.perf_counter()
        start = self.seen + self.rank * n
        self.seen += n * self.world
        got = self._fetch(start, n)
        self.waited += time.perf_counter() - started
        return got[0] if len(got) == 1 else got

    def _fetch(self, start: int, n: int) -> tuple[Tensor, ...]:
        if isinstance(self.dataset, Points):
            x = self.dataset.draw(n, self.device)
            return tuple(x if name == "x" else self.dataset.labels(x) for name in self.draws)
        if isinstance(self.dataset, Domains):
            at = {name: order(start, n) for name, order in self._orders.items()}
            return tuple(self.dataset.fetch(at[name], (name,), self.device)[0] for name in self.draws)
        return self.dataset.fetch(self.positions(start, n), self.draws, self.device)

    def labelled(self, n: int, per_class: int) -> tuple[Tensor, Tensor]:
        """The next n samples (n, ...) and labels (n,) of a fixed part with `per_class` of each class, not counted as
        seen. The part is chosen by the seed, and with 0 is all that have labels; every sample of it comes once an epoch
        of its own.

        Raises:
            GansmithError: a class has fewer samples, or the data are drawn without end.
        """
        if not isinstance(self.dataset, Images):
            why = "is drawn without end" if isinstance(self.dataset, Points) else "has two sides and no labels"
            raise GansmithError(f"{self.dataset.spec.name} {why}: a fixed part with labels needs images.")
        if per_class != self._per_class:
            self._per_class, self._part = per_class, few_of_each(self.dataset, per_class, self.seed)
        start = self.seen + self._drawn + self.rank * n
        self._drawn += n * self.world
        size = len(self._part)
        orders = {e: epoch_order(size, self.seed, e) for e in range(start // size, (start + n - 1) // size + 1)}
        at = [orders[i // size][i % size] for i in range(start, start + n)]
        x, y = self.dataset.fetch(self._part[at], ("x", "some_y"), self.device)
        return x, y

    def positions(self, start: int, n: int) -> np.ndarray:
        """Positions in the training set of the samples start to start + n - 1 of the stream."""
        return self._order(start, n)
