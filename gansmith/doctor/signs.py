"""The signs that the doctor reads off a game at each tick: what D sees, what G draws, how the nets move.

Two tiers. Tier 1 looks at up to 256 samples, tier 2 compares up to 500 samples with real ones; at ticks of the default
length they take about 0.5 % and 2 % of the time (benchmarks/doctor_cost.py). Nothing here changes the game: running
statistics are put back, and no random number of the rounds is used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gansmith.abilities import Conditioned, Discriminates, Generates, one_hot
from gansmith.core import Nets
from gansmith.doctor.real import NEIGHBOUR, Real, features
from gansmith.engine.game import Game
from gansmith.evaluation.copying import mann_whitney_z
from gansmith.evaluation.kernel import kernel_estimate
from gansmith.evaluation.manifold import manifold
from gansmith.evaluation.neighbours import nearest
from gansmith.helpers import plain

FEW, MANY = 64, 256  # samples of tier 1
SHARE_1, SHARE_2 = 12, 6  # samples of a tick for one sample of tier 1, of tier 2
SPIN = 12  # power iterations for a singular value: within a few percent
TRACKED = 16  # fixed latents whose samples are followed from tick to tick
BLOCK = 256


class Signs:
    """Measures a game with fixed latents against fixed real samples.

    Args:
        real: what to measure against; None = too few real samples, then only what the nets tell is measured.
        tick: samples between two measurements, which bounds how much is measured.
        seed: of the latents.
        facts: of data without `real` (`real.facts_of`).
    """

    def __init__(self, real: Real | None, tick: int, seed: int = 0, facts: Mapping[str, float] | None = None) -> None:
        self.real, self.seed, self.facts = real, seed, real.facts if real is not None else facts or {}
        self.few = min(MANY, max(FEW, tick // SHARE_1))
        self.calm = 0 if real is None else min(real.size, max(FEW, tick // SHARE_2))

    def __call__(self, game: Game, waited: float) -> dict[str, Any]:
        """All signs of this moment, by name; "seconds_1" and "seconds_2" say what the tiers took."""
        started = time.perf_counter()
        signs = self.first(game) | {"waiting": waited}
        done = time.perf_counter()
        signs["seconds_1"] = done - started
        signs |= self.second(game, signs.get("finite", 1.0) == 1.0)
        signs["seconds_2"] = time.perf_counter() - done
        signs["facts"] = {k: tidy(v) for k, v in self.facts.items()}
        return {k: tidy(v) for k, v in signs.items()}

    def first(self, game: Game) -> dict[str, Any]:
        """Tier 1: strides, what D says, how diverse the samples are."""
        recipe = game.recipe
        critic = recipe.critic if isinstance(recipe, Discriminates) else "D"
        signs: dict[str, Any] = {f"stride_{'D' if n == critic else n}": v for n, v in game.strides.items()}
        with torch.no_grad(), untouched(game.nets), plain(game.nets), game.cast():
            signs |= augmentation(game.nets)
            if isinstance(recipe, Generates):
                z = self._latents(recipe, self.few)
                fake = draw(recipe, game.nets, z, game.device)
                signs["finite"] = float(fake.isfinite().all())
                if self.real is not None and signs["finite"]:
                    slow = draw(recipe, Nets({**game.nets, **game.ema}), z, game.device)
                    signs |= picture(fake, slow, self.real)
                    if isinstance(recipe, Discriminates):
                        signs |= opinions(recipe, game.nets, fake, self.real, game.device, z)
        return signs

    def second(self, game: Game, finite: bool = True) -> dict[str, Any]:
        """Tier 2: samples (those of a generator that draws finite ones) against real ones, singular values."""
        signs: dict[str, Any] = {}
        with torch.no_grad(), untouched(game.nets):
            if isinstance(game.recipe, Generates) and self.real is not None and finite:
                with game.cast():
                    mixed = Nets({**game.nets, **game.ema})
                    many = draw(game.recipe, mixed, self._latents(game.recipe, self.calm), game.device)
                if many.isfinite().all():
                    signs |= compared(many, self.real)
            signs |= {f"sigma_{name}": largest_singular_value(net) for name, net in game.nets.items()}
        return signs

    def _latents(self, recipe: Generates, n: int) -> Tensor:
        return recipe.draw_latents(n, generator=torch.Generator().manual_seed(self.seed + 7))


@contextmanager
def untouched(nets: Nets) -> Iterator[None]:
    """Leave running statistics and the vectors of spectral norms as they were."""
    kept = [(buffer, buffer.clone()) for buffer in nets.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, old in kept:
                buffer.copy_(old)


def draw(recipe: Generates, nets: Nets, z: Tensor, device: torch.device) -> Tensor:
    """Samples (N, ...) float32 on the CPU; images clamped to [-1, 1]."""
    parts = [recipe.generate(nets, part.to(device)).float().cpu() for part in torch.split(z, BLOCK)]
    x = torch.cat(parts)
    return x.clamp(-1, 1) if x.ndim == 4 else x


# -- tier 1


def opinions(
    recipe: Discriminates, nets: Nets, fake: Tensor, real: Real, device: torch.device, z: Tensor
) -> dict[str, float]:
    """What D says of real, of held-out real and of generated samples (of the latents z), each by its label where D
    judges by labels, and how diverse the latter are to its eye."""
    n = len(fake)
    sets = {"real": real.train[:n], "held": real.held[:n], "fake": fake}
    conds: dict[str, Tensor | None] = dict.fromkeys(sets)
    if isinstance(recipe, Conditioned):
        conds["fake"] = z[:, recipe.z_dim :]
        for name, y in (("real", real.labels), ("held", real.labels_held)):
            conds[name] = None if y is None else one_hot(y[:n], recipe.labels)
    logits, seen = {}, {}
    for name, x in sets.items():
        with last_input(nets) as box:
            logits[name] = recipe.logits(nets, x.to(device), conds[name]).float().cpu()
        seen[name] = box.get("x", torch.zeros(len(x), 0)).float().cpu().flatten(1)
    signs = {f"logit_{name}": float(v.mean()) for name, v in logits.items()}
    signs |= {f"spread_{name}": float(v.std()) for name, v in logits.items()}
    signs["acc_real"] = float((logits["real"] > 0).float().mean())
    signs["acc_held"] = float((logits["held"] > 0).float().mean())
    signs["acc_fake"] = float((logits["fake"] < 0).float().mean())
    signs["auc"] = above(logits["held"], logits["fake"])
    signs["auc_train"] = above(logits["real"], logits["fake"])
    signs["memory"] = above(logits["real"], logits["held"]) if real.held_out else 0.5
    if seen["fake"].shape[1]:
        signs["diversity_d"] = spread(seen["fake"]) / max(spread(seen["real"]), 1e-12)
    return signs


def above(a: Tensor, b: Tensor) -> float:
    """Chance that a value of a is above one of b, ties counted half: the area under the ROC curve.

    >>> above(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.0]))
    0.75
    """
    difference = a[:, None] - b
    return float((difference > 0).float().mean() + (difference == 0).float().mean() / 2)


def spread(x: Tensor) -> float:
    """Root mean square distance of two different rows of x (N, D).

    >>> spread(torch.tensor([[0.0], [2.0]]))
    2.0
    """
    return math.sqrt(2 * float(x.double().var(0).sum()))


def picture(fake: Tensor, slow: Tensor, real: Real) -> dict[str, Any]:
    """How diverse the generated samples are, how they lie, and how far the averaged generator is from the raw one."""
    rows = features(fake)
    reals = real.rows[: len(rows)]
    made, found = (nearest(x, x, 2, exclude_self=True)[0] for x in (rows, reals))
    apart, usual = made[:, 0], found[:, 0]
    return {
        "diversity": spread(rows) / max(spread(reals), 1e-12),
        "apart": float(apart.median() / usual.median().clamp_min(1e-12)),
        "duplicates": float((apart < 0.2 * usual.median()).float().mean()),
        "dimension": dimension(made) / max(dimension(found), 1e-12),
        "ema_gap": float((rows - features(slow)).square().sum(1).mean().sqrt()) / max(spread(reals), 1e-12),
        "low": float(fake.min()),
        "high": float(fake.max()),
        "places": [[round(v, 3) for v in row] for row in real.places(fake[:TRACKED]).tolist()],
    }


def dimension(distances: Tensor) -> float:
    """Intrinsic dimension of a set from the distances (N, 2) to its first and second neighbours; 0 if all are equal.

    Source: Facco et al. 2017, "Estimating the intrinsic dimension of datasets by a minimal neighborhood information":
    the maximum likelihood form, N / sum of log(second / first).

    >>> round(dimension(torch.tensor([[1.0, math.e], [1.0, math.e]])), 3)
    1.0
    """
    first, second = distances.double().unbind(1)
    known = first > 1e-9
    return float(known.sum() / (second[known] / first[known]).log().sum().clamp_min(1e-9)) if known.any() else 0.0


@contextmanager
def last_input(nets: Nets) -> Iterator[dict[str, Tensor]]:
    """Catches what goes into the last layer with weights that is called: D's features."""
    box: dict[str, Tensor] = {}

    def keep(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        box["x"] = args[0].detach()

    handles = [m.register_forward_hook(keep) for m in nets.modules() if _has_weights(m)]
    try:
        yield box
    finally:
        for handle in handles:
            handle.remove()


def _has_weights(module: nn.Module) -> bool:
    """Whether it is a linear layer or a convolution, of torch's own or of another kind."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim >= 2 and not isinstance(module, nn.Embedding)


def augmentation(nets: Nets) -> dict[str, float]:
    """The strength p of adaptive augmentation, where a net keeps one in a buffer of that name."""
    found = [b for name, b in nets.named_buffers() if name.rpartition(".")[2] in ("p", "augment_p") and b.numel() == 1]
    return {"augment_p": float(found[0])} if found else {}


# -- tier 2


def compared(fake: Tensor, real: Real) -> dict[str, Any]:
    """Samples against real ones: precision, recall, density, coverage, distance, cells, classes, copies, mirrorings.

    `real_...` is what held-out samples score in their place."""
    rows = features(fake)
    few = len(rows) < len(real.rows_held)
    usual = manifold(real.rows, real.rows_held[: len(rows)], NEIGHBOUR) if few else real.scores
    found = manifold(real.rows, rows, NEIGHBOUR)
    kid = kernel_estimate(rows, real.rows, vary="a")
    signs: dict[str, Any] = dict(found._asdict()) | {f"real_{k}": v for k, v in usual._asdict().items()}
    signs |= {"kid": kid.value, "kid_error": kid.error, "n": float(len(rows))}
    signs["cells"] = torch.bincount(nearest(rows, real.centres, 1)[1][:, 0], minlength=len(real.centres)).tolist()
    signs["real_cells"] = real.cells.tolist()
    if real.labels is not None and len(real.classes) > 1:
        votes = real.labels[nearest(rows, real.rows, NEIGHBOUR)[1]].mode(dim=1).values
        signs["classes"] = torch.bincount(votes, minlength=len(real.classes)).tolist()
        signs["real_classes"] = torch.bincount(real.labels, minlength=len(real.classes)).tolist()
    return signs | copies(rows, real) | leaks(rows, real)


def copies(rows: Tensor, real: Real) -> dict[str, float]:
    """Do samples (N, D) lie nearer to the training set than new ones do (`Real.apart`)?

    Nothing for a law, which is drawn without end.
    """
    if not len(real.apart):
        return {}
    made, near = nearest(rows, real.pool, 1)[0][:, 0], real.apart.quantile(0.05)
    return {"copy_z": mann_whitney_z(made, real.apart), "copies": float((made < near).float().mean())}


def leaks(rows: Tensor, real: Real) -> dict[str, float]:
    """For each mirroring: the share of samples (N, D) that look mirrored, less that of held-out samples.

    Nothing for points, and 0 for data that are mirrored themselves."""
    return {f"leak_{name}": share - real.mirrored[name] for name, share in real.looks(rows).items()}


def largest_singular_value(net: nn.Module) -> float:
    """Largest singular value among the weights of a net, as its layers use them, to a few percent.

    Convolutions count as matrices (first axis x rest).
    """
    found = [0.0]
    for module in net.modules():
        weight = getattr(module, "weight", None)
        if not _has_weights(module) or weight is None:
            continue
        matrix = weight.detach().float().flatten(1) * getattr(module, "scale", 1.0)
        v = torch.linspace(0.5, 1.5, matrix.shape[1], device=matrix.device)
        for _ in range(SPIN):
            u = matrix @ v
            v = matrix.T @ u
            v = v / v.norm().clamp_min(1e-30)
        found.append(float((matrix @ v).norm()))
    return max(found)


def tidy(value: Any) -> Any:
    """A number as it is worth writing down: five digits, None when it is not finite; anything else unchanged."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else None
