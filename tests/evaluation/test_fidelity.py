"""PSNR, SSIM, luma and pixel accuracy: closed forms, other packages, loops over pixels."""

from __future__ import annotations

import math

import numpy as np
import peers
import pytest
import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.fidelity import (
    absolute_error,
    as_saved,
    cropped,
    luma,
    nearest_colours,
    pixel_accuracy,
    psnr,
)
from gansmith.evaluation.ssim import ssim


def pairs(n: int = 3, channels: int = 3, height: int = 20, width: int = 31, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images in [-1, 1] and noisy ones, float32."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, channels, height, width, generator=generator) * 2 - 1
    return x, (x + 0.3 * torch.randn(x.shape, generator=generator)).clamp(-1, 1)


# ---------------------------------------------------------------- PSNR and L1


def test_psnr_in_closed_form() -> None:
    x = torch.zeros(3, 3, 4, 5)
    y = torch.stack([x[0] + 2, x[1] + 0.02, x[2]])
    assert psnr(x, y).tolist() == pytest.approx([0, 40, math.inf])
    assert psnr(x, y).dtype == torch.float64
    assert absolute_error(x, y).tolist() == pytest.approx([2, 0.02, 0])


def test_psnr_agrees_with_other_packages() -> None:
    x, y = pairs()
    ours = psnr(x, y).tolist()
    theirs = peers.torchmetrics("functional.image").peak_signal_noise_ratio
    assert ours == pytest.approx([float(theirs(b, a, data_range=2.0)) for a, b in zip(x, y, strict=True)], rel=1e-5)
    metrics = pytest.importorskip("skimage.metrics")
    found = [metrics.peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=2) for a, b in zip(x, y, strict=True)]
    assert ours == pytest.approx(found, rel=1e-6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pairs(7)
    whole = psnr(x, y), absolute_error(x, y)
    monkeypatch.setattr("gansmith.evaluation.fidelity.BLOCK", 2 * x[0].numel())
    assert torch.equal(psnr(x, y), whole[0]) and torch.equal(absolute_error(x, y), whole[1])


def test_unlike_images_are_refused() -> None:
    for f in (psnr, absolute_error, ssim):
        with pytest.raises(GansmithError, match=r"shape \(2, 3, 16, 16\) and b has \(2, 3, 16, 18\)"):
            f(torch.zeros(2, 3, 16, 16), torch.zeros(2, 3, 16, 18))


# ---------------------------------------------------------------- SSIM


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_agrees_with_scikit_image(channels: int) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    x, y = pairs(channels=channels)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 2}
    found = [
        metrics.structural_similarity((a + 1).double().numpy(), (b + 1).double().numpy(), channel_axis=0, **options)
        for a, b in zip(x, y, strict=True)
    ]
    assert ssim(x, y).tolist() == pytest.approx(found, rel=1e-7)


def test_ssim_of_one_window_by_hand() -> None:
    """An image of 11 px holds one window, so every moment is one Gaussian mean."""
    x, y = (t[:1, :1, :11, :11].double() for t in pairs(height=11, width=11))
    line = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    w = np.outer(line, line) / line.sum() ** 2
    a, b = (t[0, 0].numpy() + 1 for t in (x, y))
    ma, mb = (w * a).sum(), (w * b).sum()
    va, vb, cab = (w * a * a).sum() - ma**2, (w * b * b).sum() - mb**2, (w * a * b).sum() - ma * mb
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    expected = (2 * ma * mb + c1) * (2 * cab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    assert float(ssim(x, y)) == pytest.approx(expected, rel=1e-9)


def test_ssim_is_one_for_equal_and_may_be_negative() -> None:
    x, _ = pairs()
    assert ssim(x, x.clone()).tolist() == [1.0] * 3
    assert bool((ssim(x, -x) < 0).all())
    with pytest.raises(GansmithError, match="10 x 31 px are too small for SSIM"):
        ssim(x[:, :, :10], x[:, :, :10])


# ---------------------------------------------------------------- what is compared


def test_luma_agrees_with_scikit_image() -> None:
    color = pytest.importorskip("skimage.color")
    x, _ = pairs()
    for image, found in zip(x, luma(x), strict=True):
        theirs = color.rgb2ycbcr((image.permute(1, 2, 0).double().numpy() + 1) / 2)[..., 0]
        np.testing.assert_allclose((found[0] + 1) * 127.5, theirs, rtol=1e-5)


def test_luma_of_primaries() -> None:
    colours = torch.tensor([[-1, -1, -1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]]).float()[:, :, None, None]
    found = ((luma(colours) + 1) * 127.5).flatten().tolist()
    assert found == pytest.approx([16, 16 + 65.481, 16 + 128.553, 16 + 24.966, 235], rel=1e-6)
    with pytest.raises(GansmithError, match="in colour, not of 1 channels"):
        luma(torch.zeros(2, 1, 4, 4))


def test_crop() -> None:
    x = torch.arange(30.0).reshape(1, 1, 5, 6)
    assert cropped(x, 2).flatten().tolist() == [14, 15]
    assert cropped(x, 0) is not None and torch.equal(cropped(x, 0), x)
    for border in (3, -1):
        with pytest.raises(GansmithError, match=f"border = {border} leaves nothing of 5 x 6 px"):
            cropped(x, border)


def test_as_saved_is_what_a_file_holds() -> None:
    x = torch.linspace(-1.2, 1.2, 3000).reshape(1, 3, 20, 50)
    levels = ((x.numpy().astype(np.float64) + 1) * 127.5).round().clip(0, 255)
    np.testing.assert_allclose(as_saved(x, "x").numpy(), levels / 127.5 - 1, atol=1e-6)
    for bad, words in (
        (torch.zeros(3, 4, 4), r"x has shape \(3, 4, 4\)"),
        (torch.zeros(2, 4, 4, 4), "1 or 3 channels"),
        (torch.full((1, 1, 2, 2), 200.0), r"from 200 to 200: scale images to \[-1, 1\]"),
        (torch.full((1, 1, 2, 2), torch.nan), "not finite"),
    ):
        with pytest.raises(GansmithError, match=words):
            as_saved(bad, "x")


# ---------------------------------------------------------------- classes of pixels

PALETTE = torch.tensor([[-1.0, -1.0, -1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.9, 0.1, 0.0]])


def test_accuracy_by_hand() -> None:
    labels = torch.tensor([[[0, 1], [2, 2]], [[0, 0], [3, 1]]])
    outputs = PALETTE[labels].permute(0, 3, 1, 2) + 0.01
    outputs[0, :, 1, 1] = torch.tensor([-0.9, -0.8, -1.0])  # nearest to black, should be green
    assert pixel_accuracy(outputs, labels, PALETTE).tolist() == [0.75, 1.0]
    assert pixel_accuracy(outputs, PALETTE[labels].permute(0, 3, 1, 2), PALETTE).tolist() == [0.75, 1.0]


def test_nearest_colours_agree_with_a_loop() -> None:
    x, _ = pairs()
    found = nearest_colours(x, PALETTE)
    for n, i, j in np.random.default_rng(0).integers(0, (3, 20, 31), (100, 3)):
        distances = [float((x[n, :, i, j] - colour).norm()) for colour in PALETTE]
        assert int(found[n, i, j]) == distances.index(min(distances))


def test_ties_go_to_the_first() -> None:
    assert nearest_colours(torch.zeros(1, 1, 1, 1), torch.tensor([[-1.0], [1.0]])).item() == 0


def test_accuracy_refuses() -> None:
    x = torch.zeros(2, 3, 4, 4)
    for targets, palette, words in (
        (x, PALETTE[:, :2], r"give colours \(K, 3\) of 2 classes or more"),
        (x, PALETTE[:1], "2 classes or more"),
        (torch.full((2, 4, 4), 4), PALETTE, "classes beyond the 4 colours"),
        (torch.full((2, 4, 4), -1), PALETTE, "classes beyond the 4 colours"),
        (x[:, :, :3], PALETTE, "unlike sizes"),
        (torch.zeros(1, 4, 4, dtype=torch.int64), PALETTE, "unlike sizes"),
    ):
        with pytest.raises(GansmithError, match=words):
            pixel_accuracy(x, targets, palette)
