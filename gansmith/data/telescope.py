"""Images of the sky: how fluxes become pixels and back, and what a worse telescope would have seen.

Flux is in nanomaggies a pixel, as in SDSS. The stretch is GalaxyGAN's: fluxes from -0.1 to 4 become 0 to 1, and of that
asinh(10 x) / 3 is kept, so that faint arms show beside a bright core; here as a number in [-1, 1].

Source: Schawinski et al. 2017, arXiv:1702.00403, and its code `roou.m`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gansmith.data.filters import blur

PIXEL = 0.396  # arcsec
FWHM = 2.355  # of a Gaussian, standard deviations
FAINTEST, BRIGHTEST = -0.1, 4.0  # flux that a pixel can show
SKY = 0.1  # flux below which a pixel may be empty sky
CLIPS = 10  # times that bright pixels are taken out of the background
FLOOR = 1e-8  # variance of the added noise, at least


def stretch(flux: Tensor) -> Tensor:
    """Fluxes as pixels in [-1, 1]; what is fainter or brighter than a pixel can show is cut off.

    >>> stretch(torch.tensor([-0.1, 0.0, 4.0]))
    tensor([-1.000, -0.839, 0.999])
    """
    x = (flux.clamp(FAINTEST, BRIGHTEST) - FAINTEST) / (BRIGHTEST - FAINTEST)
    return 2 * torch.asinh(10 * x) / 3 - 1


def fluxes(x: Tensor) -> Tensor:
    """Pixels in [-1, 1] back as fluxes.

    >>> fluxes(stretch(torch.tensor([-0.1, 0.0, 4.0])))
    tensor([-0.1, 0.0, 4.0])
    """
    return torch.sinh(1.5 * (x + 1)) / 10 * (BRIGHTEST - FAINTEST) + FAINTEST


def observe(x: Tensor, fwhm: Tensor, noise: Tensor, most: float) -> Tensor:
    """Stretched images (n, C, H, W) as a worse telescope would have taken them: blurred, noisier, stretched again.

    All happens on fluxes. The noise is white and the same in all bands, as in the reference, and as strong as brings
    the background's standard deviation to `noise` times what it was; an image without background gets next to none.

    Args:
        fwhm: of the Gaussian point spread function (n,), arcsec.
        noise: factors (n,), at least 1.
        most: no `fwhm` is larger.
    """
    flux = fluxes(x)
    blurred = blur(flux, fwhm / PIXEL / FWHM, most / PIXEL / FWHM)
    sky = _sky(blurred)
    variance = (noise * _moments(flux, sky)[1]) ** 2 - _moments(blurred, sky)[1] ** 2
    white = (
        torch.randn(len(x), 1, *x.shape[2:], device=x.device) * variance.clamp_min(FLOOR).sqrt()[:, None, None, None]
    )
    return stretch(blurred + white)


def _sky(blurred: Tensor) -> Tensor:
    """Where a blurred image shows background, as (n, C, H, W), bool: near 0, and again and again within 3 standard
    deviations. The reference stops at the first, and counts faint light of the galaxy as noise."""
    sky = blurred.abs() < SKY
    for _ in range(CLIPS):
        mean, deviation = _moments(blurred, sky)
        sky = sky & ((blurred - mean[:, None, None, None]).abs() <= 3 * deviation[:, None, None, None])
    return sky


def _moments(x: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (n,) of the pixels that count; 0 where there are none."""
    count = where.flatten(1).sum(1).clamp_min(1)
    mean = (x * where).flatten(1).sum(1) / count
    square = (x - mean[:, None, None, None]) ** 2 * where
    return mean, (square.flatten(1).sum(1) / count).sqrt()
