"""The linear probe against scikit-learn's ridge classifier, and by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV

from gansmith.errors import GansmithError
from gansmith.evaluation import probe


def rows(n: int, features: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = rng.normal(size=(n, features)) * np.linspace(0.1, 3, features) + rng.normal(size=(3, features))[y]
    return torch.from_numpy(x), torch.from_numpy(y)


@pytest.mark.parametrize(("n", "features"), [(30, 5), (12, 40), (60, 60)])
def test_it_is_the_ridge_regression_with_the_least_error_on_rows_left_out(n: int, features: int) -> None:
    x, y = rows(n, features)
    found = probe.fit(x, y, 3)
    standard = ((x - x.mean(0)) / x.std(0)).numpy()
    usual = found.penalty / min(probe.PENALTIES, key=lambda p: abs(p * (standard**2).sum() / n - found.penalty))
    targets = 2 * np.eye(3)[y.numpy()] - 1
    peer = RidgeCV(alphas=[p * usual for p in probe.PENALTIES], scoring=None).fit(standard, targets)
    assert found.penalty == pytest.approx(peer.alpha_)
    np.testing.assert_allclose(found.weight.numpy(), peer.coef_.T, atol=1e-8)
    np.testing.assert_allclose(found.bias.numpy(), peer.intercept_, atol=1e-8)


def test_accuracy_is_the_share_of_right_answers_with_wilsons_interval() -> None:
    x, y = rows(500, 8)
    new, labels = x[300:], y[300:]
    found = probe.fit(x[:300], y[:300], 3)
    got = probe.accuracy(found, new, labels)
    assert got.value == float((found.predict(new) == labels).double().mean()) > 0.5
    assert got.low < got.value < got.high and got.samples == 200


def test_labels_that_say_nothing_are_guessed() -> None:
    x, _ = rows(300, 8)
    y = torch.randint(3, (300,), generator=torch.Generator().manual_seed(0))
    got = probe.accuracy(probe.fit(x[:150], y[:150], 3), x[150:], y[150:])
    assert got.low < 1 / 3 < got.high


def test_constant_features_change_nothing() -> None:
    x, y = rows(40, 4)
    wide = torch.cat([x, torch.full((40, 3), 7.0)], 1)
    np.testing.assert_allclose(probe.fit(wide, y, 3).weight[:4], probe.fit(x, y, 3).weight, atol=1e-10)


@pytest.mark.parametrize(("x", "y"), [(torch.ones(1, 2), torch.zeros(1)), (torch.ones(4, 2), torch.zeros(3))])
def test_too_few_rows_are_refused(x: torch.Tensor, y: torch.Tensor) -> None:
    with pytest.raises(GansmithError, match="takes 2 to 5000 labelled rows"):
        probe.fit(x, y.long(), 2)
