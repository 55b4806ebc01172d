"""WGAN's claim: the critic's loss follows the Wasserstein-1 distance between data and samples, while G learns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from scipy.stats import spearmanr, wasserstein_distance
from torch import Tensor

from gansmith import recipes
from gansmith.core import DataSpec, Generates
from gansmith.engine.game import Game

ROUNDS, EVERY = 600, 20


class Mixture:
    """Fresh samples (N, 1) of two Gaussians at -1 and 1.5, far from where G starts."""

    seen = 0

    def seek(self, seen: int) -> None:
        self.seen = seen

    def __call__(self, n: int) -> Tensor:
        self.seen += n
        centre = torch.where(torch.rand(n, 1) < 0.5, -1.0, 1.5)
        return 3.0 + centre + 0.2 * torch.randn(n, 1)


def _trace(seed: int, **fields: object) -> Iterator[tuple[float, float]]:
    """(critic's estimate, exact distance) along a training: the estimate is minus the mean critic loss."""
    recipe = recipes.find("wgan")(batch=256, z_dim=1, width=64, lr=5e-4, clip=0.1, n_critic_start=25, **fields)
    assert isinstance(recipe, Generates)
    data = Mixture()
    game = Game(recipe, DataSpec("mixture", "points", (1,)), data, seed=seed)
    for _ in range(ROUNDS // EVERY):
        for _ in range(EVERY):
            game.play()
        estimate = -game.means()["D/adv"]
        with torch.no_grad():
            fake = recipe.generate(game.nets, recipe.draw_latents(20_000))
        yield estimate, wasserstein_distance(fake[:, 0].numpy(), data(20_000)[:, 0].numpy())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_critic_loss_follows_the_exact_distance(seed: int) -> None:
    estimates, exact = zip(*_trace(seed), strict=True)
    rank = spearmanr(estimates, exact).statistic
    print(f"seed {seed}: rank correlation {rank:.3f}; distance {exact[0]:.2f} -> {exact[-1]:.2f}")
    assert exact[-1] < 0.5 * exact[0], "G does not learn: there is nothing to follow"
    assert rank >= 0.9


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_critic_that_hardly_moves_does_not_follow(seed: int) -> None:
    estimates, exact = zip(*_trace(seed, n_critic=1, rounds_start=1, restart_every=10**9), strict=True)
    assert spearmanr(estimates, exact).statistic < 0.9
