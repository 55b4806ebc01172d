"""Losses over the outputs of a frozen network: closed forms on a network that can be computed by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.objectives import content_l1, content_mse, lpips_form, pyramid_l1


class Scaled:
    """The image times 2, 3, 5, 7 and 11: five outputs, and two of them as directions."""

    pyramid: tuple[str, ...] = ("2", "3", "5", "7", "11")
    spaces: tuple[str, ...] = ("2", "11")
    deep, raw, name, identity, device = "7", "5", "scaled", "scaled 1", torch.device("cpu")

    def __call__(self, x: Tensor, taps: Sequence[str]) -> tuple[Tensor, ...]:
        return tuple(float(tap) * x for tap in taps)


def pair(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(3, 4, 5, 6, generator=generator) for _ in range(2))  # type: ignore[return-value]


def test_pyramid_has_pix2pixhds_weights() -> None:
    """relu1_1 to relu5_1 with 1/32, 1/16, 1/8, 1/4, 1."""
    fake, real = pair()
    factor = 2 / 32 + 3 / 16 + 5 / 8 + 7 / 4 + 11
    torch.testing.assert_close(pyramid_l1(Scaled(), fake, real), factor * F.l1_loss(fake, real))


def test_the_coarsest_of_fewer_outputs_has_weight_one() -> None:
    phi, (fake, real) = Scaled(), pair()
    phi.pyramid = ("2", "3")
    torch.testing.assert_close(pyramid_l1(phi, fake, real), (2 / 4 + 3) * F.l1_loss(fake, real))


def test_content_losses_of_srgan_and_esrgan() -> None:
    fake, real = pair()
    torch.testing.assert_close(content_mse(Scaled(), fake, real), 49 / 12.75**2 * F.mse_loss(fake, real))
    torch.testing.assert_close(content_l1(Scaled(), fake, real), 5 * F.l1_loss(fake, real))


@pytest.mark.parametrize("loss", [pyramid_l1, content_mse, content_l1])
def test_gradients_reach_the_fake_alone(loss) -> None:  # type: ignore[no-untyped-def]
    fake, real = (x.requires_grad_() for x in pair())
    assert float(loss(Scaled(), fake.detach(), fake.detach())) == 0
    loss(Scaled(), fake, real).backward()
    assert fake.grad is not None and fake.grad.abs().sum() > 0 and real.grad is None


# ---------------------------------------------------------------- lpips_form


def test_lpips_form_by_hand() -> None:
    """Two places: directions (0.6, 0.8) against (0.8, 0.6), and (1, 0) against (-1, 0)."""
    a = torch.tensor([[3.0, 5.0], [4.0, 0.0]])[None, :, None]
    b = torch.tensor([[8.0, -2.0], [6.0, 0.0]])[None, :, None]
    one_space = (0.2**2 + 0.2**2 + 2**2) / 2
    assert lpips_form(Scaled(), a, b).tolist() == pytest.approx([2 * one_space])
    heads = [torch.tensor([1.0, 0.0]), torch.tensor([0.5, 2.0])]
    weighted = (0.04 + 4) / 2 + (0.5 * (0.04 + 4) + 2 * 0.04) / 2
    assert lpips_form(Scaled(), a, b, heads).tolist() == pytest.approx([weighted])


def test_lpips_form_agrees_with_a_loop() -> None:
    a, b = (x.double().numpy() for x in pair(1))
    expected = []
    for x, y in zip(a, b, strict=True):
        places = [
            sum((x[:, i, j] / np.linalg.norm(x[:, i, j]) - y[:, i, j] / np.linalg.norm(y[:, i, j])) ** 2)
            for i in range(5)
            for j in range(6)
        ]
        expected.append(2 * np.mean(places))  # two spaces that differ by a factor
    assert lpips_form(Scaled(), *pair(1)).tolist() == pytest.approx(expected, rel=1e-5)


def test_lpips_form_is_a_distance_of_directions() -> None:
    a, b = pair(2)
    assert lpips_form(Scaled(), a, a).tolist() == [0, 0, 0]
    assert lpips_form(Scaled(), a, 7 * a).tolist() == pytest.approx([0] * 3, abs=1e-5)
    torch.testing.assert_close(lpips_form(Scaled(), a, b), lpips_form(Scaled(), b, a))
    torch.testing.assert_close(lpips_form(Scaled(), a, -a), torch.full((3,), 8.0))  # 4 in each space
    torch.testing.assert_close(lpips_form(Scaled(), a, b)[1:], lpips_form(Scaled(), a[1:], b[1:]))


def test_places_without_activation_have_no_direction() -> None:
    a, b = torch.zeros(1, 3, 2, 2).requires_grad_(), torch.ones(1, 3, 2, 2)
    found = lpips_form(Scaled(), a, b)
    found.sum().backward()
    assert found.tolist() == pytest.approx([2.0])  # one direction of length 1 against none, in each space
    assert a.grad is not None and a.grad.isfinite().all()
    assert lpips_form(Scaled(), a.detach(), a.detach()).tolist() == [0]
