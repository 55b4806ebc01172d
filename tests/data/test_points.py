"""The exactly known sets: moments, independent reference, and the coverage protocol."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from sklearn.datasets import make_swiss_roll

from gansmith.data import POINTS, Points, Stream, open_data
from gansmith.data.points import grid25, ring8, swissroll
from gansmith.errors import GansmithError


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_ring8_has_its_radius_and_spread() -> None:
    ring = ring8()
    assert torch.allclose(ring.modes.norm(dim=1), torch.full((8,), 2 / 1.414))
    x = ring.draw(20_000)
    near = ring.modes[torch.cdist(x, ring.modes).argmin(1)]
    assert (x - near).std().item() == pytest.approx(0.02 / 1.414, rel=0.02)
    assert torch.bincount(torch.cdist(x, ring.modes).argmin(1), minlength=8).min() > 2300  # 2500 expected


def test_grid25_moments() -> None:
    """Variance of each axis: (mean of {16, 4, 0, 4, 16} + std^2) / 2.828^2."""
    x = grid25().draw(50_000)
    assert x.dtype == torch.float32 and x.shape == (50_000, 2)
    assert x.mean(0).abs().max().item() < 0.02
    assert x.var(0).tolist() == pytest.approx([(8 + 0.1**2) / 2.828**2] * 2, rel=0.02)


def test_swissroll_agrees_with_scikit_learn() -> None:
    reference = make_swiss_roll(20_000, noise=0.25, random_state=0)[0][:, [0, 2]] / 7.5
    ours = swissroll().draw(20_000).numpy()
    for direction in ([1, 0], [0, 1], [0.6, 0.8]):
        assert ks_2samp(ours @ np.array(direction), reference @ np.array(direction)).pvalue > 0.01
    assert ks_2samp(np.hypot(*ours.T), np.hypot(*reference.T)).pvalue > 0.01


def test_draws_follow_the_global_seed() -> None:
    grid = grid25()
    first = grid.draw(64)
    torch.manual_seed(0)
    assert torch.equal(first, grid.draw(64))
    assert not torch.equal(first, grid.draw(64))


def test_true_samples_cover_everything() -> None:
    """Within r std of the centre lies 1 - exp(-r^2 / 2) of a plane Gaussian."""
    for data, modes in ((ring8(), 8), (grid25(), 25)):
        x = data.draw(10_000)
        for within in (2.0, 3.0, 4.0):
            found, share = data.coverage(x, within)
            assert found == modes
            assert share == pytest.approx(1 - math.exp(-(within**2) / 2), abs=0.01)


def test_a_mode_counts_from_20_samples_in_10_000() -> None:
    grid = grid25()
    far = torch.full((1, 2), 50.0)
    samples = lambda k: torch.cat([grid.modes[:1].repeat(k, 1), far.repeat(10_000 - k, 1)])  # noqa: E731
    assert grid.coverage(samples(19)) == (0, pytest.approx(0.0019))
    assert grid.coverage(samples(20)) == (1, pytest.approx(0.0020))


def test_a_blob_covers_modes_with_a_small_share() -> None:
    modes, share = grid25().coverage(torch.rand(10_000, 2) * 4 - 2, within=4)
    assert modes == 25 and share < 0.25


def test_coverage_needs_modes() -> None:
    with pytest.raises(GansmithError, match="swissroll has no modes"):
        swissroll().coverage(torch.zeros(10, 2))


@pytest.mark.parametrize("name", sorted(POINTS))
def test_protocol(name: str) -> None:
    data = open_data(name)
    fields = ("x", "y") if len(data.modes) else ("x",)
    assert (data.spec.kind, data.spec.shape, data.spec.count, data.spec.fields) == ("points", (2,), 0, fields)
    assert data.info["source"] == name and name in data.fingerprint and len(data.held_out) == 0
    assert data.report.lines() == [data.report.note] and not data.report.errors


@pytest.mark.parametrize("name", ["ring8", "grid25"])
def test_labels_are_modes(name: str) -> None:
    law = open_data(name)
    assert isinstance(law, Points) and law.spec.classes == tuple(map(str, range(len(law.modes))))
    x, y = Stream(law, ("x", "y"), seed=0)(500)
    assert x.shape == (500, 2) and y.dtype == torch.int64
    assert ((x - law.modes[y]).norm(dim=1) < 6 * law.std).all() and len(y.unique()) == len(law.modes)


def test_other_settings_have_another_fingerprint() -> None:
    assert grid25().fingerprint == grid25(0.1).fingerprint != grid25(0.05).fingerprint


@pytest.mark.parametrize("option", [{"resolution": 32}, {"channels": 1}, {"labels": True}])
def test_image_options_do_not_apply(option: dict) -> None:
    with pytest.raises(GansmithError, match="grid25 holds points"):
        open_data("grid25", **option)
