"""Changes of measures: their unit against normal numbers, paths of shapes32, ranks against scipy's own correlation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from gansmith.data.shapes import draw_factors, render
from gansmith.errors import GansmithError
from gansmith.explore.factors import MEASURES, Measures, measure
from gansmith.explore.following import Followed, changes, follow, spread

STRENGTHS = torch.linspace(-2, 2, 9)


def path(name: str, values: np.ndarray) -> list[Measures]:
    """What shapes32 shows where one factor takes the values (S, N), and its others stay."""
    factors = draw_factors(values.shape[1])
    images = [torch.from_numpy(render(factors | {name: row})).permute(0, 3, 1, 2).float() / 127.5 - 1 for row in values]
    return [measure(part) for part in images]


def population() -> dict[str, float]:
    return spread(path("x", draw_factors(500)["x"][None])[0])


def along(values: Tensor, strengths: Tensor = STRENGTHS, name: str = "x", unit: float = 1.0) -> Followed:
    """Of one measure (S, N)."""
    return follow(strengths, [{name: row} for row in values], {name: unit})[name]


# ---- paths of pictures


@pytest.mark.parametrize(
    ("factor", "low", "high"), [("x", 11, 20), ("y", 20, 11), ("size", 5, 8.5), ("background", 0.1, 0.7)]
)
def test_a_path_of_one_factor_is_followed_by_its_measure_alone(factor: str, low: float, high: float) -> None:
    found = follow(STRENGTHS, path(factor, np.linspace(low, high, 9)[:, None] * np.ones(60)), population())
    own, sign = found.pop(factor), 1 if high > low else -1
    assert own.correlation == pytest.approx(sign, abs=1e-3)
    assert own.change * sign > 1.5 and own.moved == pytest.approx(abs(own.change))
    assert all(other.moved < (0.1 if name in ("hue", "x", "y", "background") else 0.4) for name, other in found.items())
    assert all(abs(other.change) <= other.moved for other in found.values())


def test_change_is_in_spreads() -> None:
    found = follow(STRENGTHS, path("x", np.linspace(11, 20, 9)[:, None] * np.ones(60)), scale := population())
    assert found["x"].change == pytest.approx(9 / 32 / scale["x"], rel=0.01)


def test_hue_is_followed_past_red() -> None:
    """From 0.7 once and a half around the wheel, in steps of less than half a turn."""
    values = (0.7 + np.linspace(0, 1.5, 9)[:, None] + np.linspace(0, 1, 60)) % 1
    found = follow(STRENGTHS, path("hue", values), scale := population())
    assert found["hue"].correlation == pytest.approx(1)
    assert found["hue"].change == pytest.approx(1.5 / scale["hue"], rel=0.01)
    naive = np.mean([spearmanr(STRENGTHS, column).statistic for column in values.T])
    assert naive < 0.5
    assert max(other.moved for name, other in found.items() if name != "hue") < 0.01


# ---- the numbers


def test_ranks_agree_with_scipy() -> None:
    values = torch.randn(7, 40, dtype=torch.float64).round(decimals=1)  # with ties
    strengths = torch.tensor([0, 1, 2, 3, 5, 8, 100])
    expected = [spearmanr(strengths, column).statistic for column in values.T]
    found = along(values, strengths, unit=2.0)
    assert found.correlation == pytest.approx(np.mean(expected))
    assert found.change == pytest.approx(float((values[-1] - values[0]).mean()) / 2)
    assert found.moved == pytest.approx(float((values[-1] - values[0]).abs().mean()) / 2)


def test_standing_still_is_no_correlation() -> None:
    rounding = 1e-12 * torch.arange(9.0, dtype=torch.float64)[:, None].expand(9, 4)
    assert along(0.3 + rounding) == pytest.approx((0, 0, 0), abs=1e-9)
    assert along(torch.cat([0.3 + rounding, STRENGTHS.double()[:, None]], 1)).correlation == pytest.approx(0.2)


def test_samples_with_a_gap_are_left_out_until_half_are() -> None:
    values = STRENGTHS.double()[:, None].repeat(1, 4)
    values[:, :2] *= -1
    values[4, 0] = values[0, 1] = math.nan
    assert along(values) == pytest.approx((1, 4, 4))
    values[8, 2] = math.nan
    assert all(math.isnan(number) for number in along(values))
    assert all(math.isnan(number) for number in along(values, name="hue"))


def test_spread_of_normal_numbers_with_outliers() -> None:
    values = 0.3 + 0.1 * torch.randn(20_000, dtype=torch.float64)
    values[:400], values[400:600] = 1e6, math.nan
    assert spread({"size": values})["size"] == pytest.approx(0.1, rel=0.05)
    assert float(values[400:].nanmean()) == pytest.approx(0.3, abs=0.01)
    assert spread({"size": torch.ones(9), "slant": torch.zeros(9)}) == {k: MEASURES[k].least for k in ("size", "slant")}
    assert math.isnan(spread({"hue": torch.full((3,), math.nan)})["hue"])


@pytest.mark.parametrize("middle", [0.0, 0.3, 0.97])
def test_spread_of_the_hue_does_not_depend_on_where_it_lies(middle: float) -> None:
    hue = (middle + 0.05 * torch.randn(20_000, dtype=torch.float64)) % 1
    assert spread({"hue": hue})["hue"] == pytest.approx(0.05, rel=0.05)


def test_changes_are_signed_and_short_around_the_circle() -> None:
    before = {"hue": torch.tensor([0.9, 0.1, 0.0, 0.3]), "x": torch.tensor([0.5, 0.5, 0.2, math.nan])}
    after = {"hue": torch.tensor([0.1, 0.9, 0.5, 0.3]), "x": torch.tensor([0.6, 0.3, 0.2, 0.5])}
    found = changes(before, after, {"hue": 0.1, "x": 0.2})
    assert found["hue"].tolist() == pytest.approx([2, -2, 5, 0], abs=1e-5)
    assert found["x"].tolist() == pytest.approx([0.5, -1, 0, math.nan], abs=1e-5, nan_ok=True)


# ---- inputs


@pytest.mark.parametrize(
    "strengths", [torch.zeros(3), torch.tensor([0.0, 2.0, 1.0]), torch.tensor([0.0, 1.0]), torch.zeros(3, 1)]
)
def test_strengths_must_rise(strengths: Tensor) -> None:
    with pytest.raises(GansmithError, match="three or more numbers that rise"):
        along(torch.zeros(len(strengths), 2), strengths)


def test_measures_that_do_not_match_are_refused() -> None:
    x, two = {"x": torch.zeros(3)}, {"x": torch.zeros(2)}
    with pytest.raises(GansmithError, match="differ: x, but elsewhere y"):
        changes(x, {"y": torch.zeros(3)}, {"x": 1.0, "y": 1.0})
    with pytest.raises(GansmithError, match=r"\[2, 3\] pictures"):
        changes(x, two, {"x": 1.0})
    with pytest.raises(GansmithError, match="no spread of x"):
        changes(x, x, {})
    with pytest.raises(GansmithError, match="9 strengths, but measures at 2"):
        follow(STRENGTHS, [x, x], {"x": 1.0})
