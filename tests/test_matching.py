"""Feature matching of pix2pixHD and DiscoGAN, and how ESRGAN's moves are written with the relativistic objectives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.nets import patch
from gansmith.objectives import (
    feature_matching,
    least_squares_g,
    mean_feature_matching,
    nonsaturating_d,
    relativistic_average_d,
    relativistic_average_g,
)


def layers(n: int = 4, seed: int = 0) -> list[Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(2, 3 + k, 5 - k, 4) for k in range(n)]


def test_feature_matching_is_the_released_sum() -> None:
    """Weights 1 / num_D and 4 / (n_layers + 1), for three layers of stride 2 and for two."""
    for n in (4, 3):
        real, fake = [layers(n, k) for k in (1, 2)], [layers(n, k) for k in (3, 4)]
        expected = torch.zeros(())
        for r, f in zip(real, fake, strict=True):
            for a, b in zip(r, f, strict=True):
                expected = expected + 1 / 2 * (4 / n) * F.l1_loss(b, a)
        torch.testing.assert_close(feature_matching(real, fake), expected)


def test_mean_feature_matching_is_the_released_sum() -> None:
    real, fake = layers(3, 1), layers(3, 2)
    expected = sum(F.mse_loss(f.mean(0), r.mean(0)) for r, f in zip(real, fake, strict=True))
    torch.testing.assert_close(mean_feature_matching(real, fake), expected)
    shuffled = [torch.cat([r.flip(0), r]) for r in real]  # neither order nor number of samples counts
    torch.testing.assert_close(mean_feature_matching(shuffled, fake), expected)


def test_equal_features_cost_nothing_and_reals_get_no_gradient() -> None:
    real = [layer.requires_grad_() for layer in layers(3, 1)]
    fake = [layer.requires_grad_() for layer in layers(3, 2)]
    assert feature_matching([real], [real]) == 0 and mean_feature_matching(real, real) == 0
    for loss in (feature_matching([real], [fake]), mean_feature_matching(real, fake)):
        grads = torch.autograd.grad(loss, [*real, *fake], allow_unused=True)
        assert all(g is None for g in grads[:3]) and all(g is not None and g.abs().max() > 0 for g in grads[3:])


def test_features_teach_where_saturated_logits_do_not() -> None:
    """Logits at the target leave no gradient, the features do."""
    D = patch.Pyramid(3, 2, 2, 4)
    for part in D.parts:
        torch.nn.init.zeros_(part.out.weight)
        torch.nn.init.ones_(part.out.bias)
    real, fake = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32, requires_grad=True)
    hidden = D.hidden(fake)
    adversarial = sum(least_squares_g(logits) for logits in D.head(hidden))
    (slope,) = torch.autograd.grad(adversarial, fake, retain_graph=True)
    assert slope.abs().max() == 0
    (slope,) = torch.autograd.grad(feature_matching(D.hidden(real), hidden), fake)
    assert slope.abs().max() > 0


def test_feature_matching_sums_bfloat16_in_float32() -> None:
    real, fake = [[torch.zeros(1000, dtype=torch.bfloat16)]], [[torch.full((1000,), 1.0).bfloat16()]]
    fake[0][0][:333] = 0
    loss = feature_matching(real, fake)
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(4 * 0.667, rel=1e-6)
    ones = torch.cat([torch.ones(667, 1), torch.zeros(333, 1)]).bfloat16()
    assert mean_feature_matching([0 * ones], [ones]).item() == pytest.approx(0.667**2, rel=1e-6)


def test_features_that_do_not_fit_are_refused() -> None:
    with pytest.raises(GansmithError, match="as many discriminators, not 1 with 2"):
        feature_matching([layers()], [layers(), layers()])
    for other in (layers(3), [h[:1] for h in layers()], []):
        with pytest.raises(GansmithError, match="layer by layer"):
            feature_matching([layers()], [other])
    with pytest.raises(GansmithError, match="layer by layer"):
        mean_feature_matching(layers(3), layers(4))
    mean_feature_matching(layers(3), [h[:1] for h in layers(3)])


# --- ESRGAN ------------------------------------------------------------------------------------------------------


def cross_entropy(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def both(seed: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return (2 * torch.randn(6) + 1).requires_grad_(), (2 * torch.randn(6)).requires_grad_()


def test_esrgans_generator_move() -> None:
    """BasicSR's: scores of reals are detached. Its loss is the relativistic average with detached reals."""
    real, fake = both(1)
    fixed = real.detach()
    released = (cross_entropy(fixed - fake.mean(), False) + cross_entropy(fake - fixed.mean(), True)) / 2
    ours = relativistic_average_g(real.detach(), fake)
    torch.testing.assert_close(ours, released)
    torch.testing.assert_close(torch.autograd.grad(ours, fake), torch.autograd.grad(released, fake))


def test_esrgans_discriminator_move() -> None:
    """BasicSR's: no gradient flows through the means. The paper's loss has the same value and another gradient."""
    real, fake = both(2)
    released = 0.5 * cross_entropy(real - fake.detach().mean(), True)
    released = released + 0.5 * cross_entropy(fake - real.detach().mean(), False)
    ours = 0.5 * nonsaturating_d(real - fake.detach().mean(), fake - real.detach().mean())
    torch.testing.assert_close(ours, released)
    torch.testing.assert_close(torch.autograd.grad(ours, [real, fake]), torch.autograd.grad(released, [real, fake]))
    paper = relativistic_average_d(real, fake)
    torch.testing.assert_close(paper, released)
    (slope,), (fixed,) = (
        torch.autograd.grad(paper, real),
        torch.autograd.grad(0.5 * cross_entropy(real - fake.mean(), True), real),
    )
    assert not torch.allclose(slope, fixed, rtol=0.1)
