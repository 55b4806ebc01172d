"""A whole evaluation on sets whose answers are known: what is compared with what, protocols, and what stands in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.evaluate import Evaluation, Job, counts, evaluate, look
from gansmith.evaluation.features import find
from gansmith.evaluation.features.base import Look
from gansmith.evaluation.features.store import FeatureStore
from gansmith.evaluation.samples import Reference, Samples
from gansmith.evaluation.score import Score
from gansmith.evaluation.training import TrainingScore

CLASSES = 4


def blobs(n: int, seed: int, classes: int = CLASSES, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    """Grey images 12 x 12, one bright corner for each class: (n, 1, 12, 12) in [-1, 1], and labels (n,)."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    x = -0.5 + noise * torch.randn(n, 1, 12, 12, generator=generator)
    for i, label in enumerate(y.tolist()):
        top, left = 6 * (label // 2), 6 * (label % 2)
        x[i, :, top : top + 6, left : left + 6] += 1
    return x.clamp(-1, 1), y


def samples(x: Tensor, key: str, y: Tensor | None = None) -> Samples:
    return Samples(key, key, len(x), lambda index: x[torch.from_numpy(index)], y)


def real(train: int = 160, held_out: int = 40) -> Reference:
    (x, y), (hx, hy) = blobs(train, 1), blobs(held_out, 2)
    names = tuple("abcd")
    return Reference("blobs", "image", "f1", samples(x, "train", y), samples(hx, "held", hy), classes=names)


def job(folder: Path, fake: Tensor, key: str = "fake", extractor: str = "pixels", **options: Any) -> Job:
    stores = FeatureStore(folder / key), FeatureStore(folder / "known")
    return Job(samples(fake, key), options.pop("real", real()), find(extractor), *stores, **options)


def score(found: Evaluation, name: str) -> Score:
    return next(Score.from_json(s, "test") for s in found.facts["scores"] if s["name"] == name)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return evaluate(job(tmp_path_factory.mktemp("good"), blobs(200, 7)[0]))


def test_half_of_the_data_is_left_to_stand_in(tmp_path: Path) -> None:
    this = job(tmp_path, blobs(200, 7)[0])
    assert counts(this) == (100, 100)
    seen = look(this)
    assert seen.stand_in is not None and len(seen.stand_in.features) == 100
    held = real().held_out.tensor().flatten(1)
    assert torch.equal(seen.stand_in.features[:40], this.extractor.features(held.view(-1, 1, 12, 12)))
    both = torch.cat([seen.real.features, seen.stand_in.features[40:]])
    assert len(both.unique(dim=0)) == len(both) == 160  # nothing is on both sides


def test_with_all_real_samples_taken_none_stand_in(tmp_path: Path) -> None:
    seen = look(job(tmp_path, blobs(200, 7)[0], n=160, n_real=160))
    assert seen.stand_in is None and len(seen.real.features) == 160


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 500}, ["fake has 200 samples, 500 were asked for", "at most 200"]),
        ({"n_real": 161}, ["train has 160 samples, 161"]),
        ({"n": 1}, ["1 samples are too few", "at least 20"]),
    ],
)
def test_impossible_counts_are_refused(tmp_path: Path, options: dict[str, int], words: list[str]) -> None:
    with pytest.raises(GansmithError) as error:
        evaluate(job(tmp_path, blobs(200, 7)[0], **options))
    assert all(word in str(error.value) for word in words)


def test_perfect_samples_score_as_real_ones_do(good: Evaluation) -> None:
    for name in ("FD(pixels)", "precision", "recall", "coverage", "1-NN accuracy", "MS-SSIM", "SW(pixels)"):
        s = score(good, name)
        assert s.real is not None and s.error is not None and abs(s.value - s.real) <= 4 * s.error, name
    assert abs(score(good, "KID").value) < 3 * (score(good, "KID").error or 0)
    assert score(good, "copied").value <= 0.05 and abs(score(good, "C_T").value) < 3


def test_every_score_carries_its_protocol(good: Evaluation) -> None:
    for s in (Score.from_json(found, "test") for found in good.facts["scores"]):
        assert s.protocol.data == "f1" and s.protocol.split == "train" and s.protocol.code >= 1
        assert s.protocol.extractor == ("none" if s.name in ("SWD", "MS-SSIM") else find("pixels").identity)
        assert s.protocol.n_fake == 100 and s.protocol.n_real in (100, 160)
        assert s.low is None or s.high is None or s.low <= s.value <= s.high
    assert score(good, "precision").protocol.settings == {"k": 5}
    assert score(good, "copied").protocol.n_real == 160  # copies are sought in the whole training set


def test_dropped_classes_and_noise_move_their_own_measures(tmp_path: Path, good: Evaluation) -> None:
    dropped = evaluate(job(tmp_path, blobs(200, 7, classes=2)[0], "dropped"))
    noisy = evaluate(job(tmp_path, blobs(200, 7, noise=0.4)[0], "noisy"))
    assert score(dropped, "recall").value < 0.7 * score(good, "recall").value
    assert score(dropped, "precision").value > 0.8 * score(good, "precision").value
    assert score(noisy, "precision").value < 0.2 * score(good, "precision").value
    for found in (dropped, noisy):
        assert score(found, "FD(pixels)").value > 2 * score(good, "FD(pixels)").value
        assert score(found, "1-NN accuracy").value > score(good, "1-NN accuracy").value


def test_pixels_show_copies_that_features_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extractor that sees the mean grey alone; sets too large to hold are not searched by pixels."""
    dull = replace(
        find("pixels"), name="dull", net=lambda x: Look(torch.stack([x.mean((1, 2, 3)), x.amax((1, 2, 3))], 1))
    )
    x = blobs(160, 1)[0]
    copies = x[torch.arange(200) % 160] + 0.001 * torch.randn(200, 1, 12, 12)
    found = evaluate(replace(job(tmp_path, copies, "copies"), extractor=dull))
    assert score(found, "copied(pixels)").value > 0.9 > score(found, "copied").value
    assert score(found, "copied(pixels)").real <= 0.05 and score(found, "copied(pixels)").protocol.extractor == "none"
    new = evaluate(replace(job(tmp_path, blobs(200, 7)[0], "new"), extractor=dull))
    assert score(new, "copied(pixels)").value <= 0.05
    monkeypatch.setattr("gansmith.evaluation.evaluate.PIXEL_BYTES", 1000)
    few = evaluate(replace(job(tmp_path, copies, "copies"), extractor=dull))
    assert "copied(pixels)" not in [s["name"] for s in few.facts["scores"]]


def test_one_point_in_an_outliers_ball_is_not_realistic(tmp_path: Path) -> None:
    """All samples are one image near an outlier of the data: precision is 1, realism 0, and the former is doubted."""
    (x, y), (hx, hy) = blobs(160, 1), blobs(40, 2)
    x = x.clone()
    x[0] = 1.0  # white all over: its ball reaches to ordinary images
    here = Reference("blobs", "image", "f2", samples(x, "odd", y), samples(hx, "held", hy), classes=tuple("abcd"))
    grey = torch.full((200, 1, 12, 12), 0.8) + 0.001 * torch.randn(200, 1, 12, 12)
    found = evaluate(job(tmp_path, grey, "grey", real=here, n_real=160))
    assert score(found, "precision").value == 1.0 and score(found, "realism").value == 0.0
    assert "realism" in score(found, "precision").warnings[0] and not score(found, "recall").warnings
    fine = evaluate(job(tmp_path, blobs(200, 7)[0]))
    assert not score(fine, "precision").warnings and score(fine, "realism").value > 0.2


def test_copies_are_called_copies(tmp_path: Path) -> None:
    x = blobs(160, 1)[0]
    found = evaluate(job(tmp_path, x[torch.arange(200) % 160] + 0.001 * torch.randn(200, 1, 12, 12), "copies"))
    assert score(found, "copied").value > 0.9 and score(found, "C_T").value < -5
    nearest = found.facts["novelty"]["nearest"]
    assert all(n["neighbours"][0] == n["sample"] % 160 for n in nearest)


def test_the_arrays_show_what_the_facts_say(good: Evaluation) -> None:
    arrays, facts = good.arrays, good.facts["novelty"]
    assert arrays["samples"].shape == (64, 12, 12, 1) and arrays["samples"].dtype == np.uint8
    assert arrays["neighbours_features"].shape == arrays["neighbours"].shape == (12, 4, 12, 12, 1)
    assert np.array_equal(arrays["neighbours"], arrays["neighbours_features"])  # for the features are pixels
    assert len(arrays["pairs"]) == len(facts["pairs"]) == 10 and arrays["projection_fake"].shape == (100, 2)
    fake = blobs(200, 7)[0]
    a = facts["pairs"][0]["a"]
    assert np.abs(arrays["pairs"][0, 0, :, :, 0] - (fake[a, 0].numpy() + 1) * 127.5).max() <= 0.5


def test_batch_size_and_repetition_change_nothing(tmp_path: Path, good: Evaluation) -> None:
    again = job(tmp_path, blobs(200, 7)[0])
    for store in (again.kept, again.known):
        store.block = 37
    found = evaluate(again)
    for s in good.facts["scores"]:
        if s["value"] is not None:  # the support is endless
            assert score(found, s["name"]).value == pytest.approx(s["value"], rel=1e-5, abs=1e-7), s["name"]


def test_an_interrupted_evaluation_goes_on_from_its_features(tmp_path: Path) -> None:
    x, fetched = blobs(200, 7)[0], []

    def fetch(index: np.ndarray) -> Tensor:
        fetched.append(int(index[0]))
        if len(fetched) == 3:
            raise KeyboardInterrupt
        return x[torch.from_numpy(index)]

    fake = Samples("fake", "fake", 200, fetch)
    stores = FeatureStore(tmp_path / "fake", block=20), FeatureStore(tmp_path / "known")
    this = Job(fake, real(), find("pixels"), *stores)
    with pytest.raises(KeyboardInterrupt):
        evaluate(this)
    assert fetched == [0, 20, 40]
    fetched[:] = [-1] * 3
    evaluate(this)
    assert fetched[3] == 40  # the first two blocks were kept


def test_points_are_scored_by_their_modes(tmp_path: Path) -> None:
    from gansmith.data import open_data
    from gansmith.evaluation.samples import reference

    law = open_data("ring8")
    truth = reference(law, 500)
    half = truth.train.tensor()
    half = half[half[:, 0] > 0.2][:200]
    this = Job(samples(half, "half"), truth, find("pixels"), FeatureStore(tmp_path), FeatureStore(tmp_path))
    found = evaluate(this)
    assert score(found, "modes").value == 3 and score(found, "modes").ideal == 8 and score(found, "modes").real == 8
    assert score(found, "HQ share").value > 0.99
    assert "SWD" not in {s["name"] for s in found.facts["scores"]} and found.arrays["samples"].shape == (194, 2)


# ---------------------------------------------------------------- during training


@pytest.mark.parametrize("metric", ["fd", "kid"])
def test_the_score_in_training_falls_as_samples_improve(metric: str) -> None:
    judged = TrainingScore(real().train, find("pixels"), metric=metric, n=200)
    scores, errors = [], []
    for noise in (0.8, 0.4, 0.1):
        found = judged(lambda n, noise=noise: blobs(n, 5, noise=noise)[0])
        assert found["score"] == found[judged.name] and found["error"] >= 0
        assert found[f"{judged.name}/low"] <= found["score"] <= found[f"{judged.name}/high"]
        scores.append(found["score"])
        errors.append(found["error"])
    assert scores == sorted(scores, reverse=True) and scores[0] - scores[2] > 4 * (errors[0] + errors[2])


def test_the_score_in_training_refuses_nonsense() -> None:
    with pytest.raises(GansmithError, match='Did you mean "kid"'):
        TrainingScore(real().train, find("pixels"), metric="kidd")
    with pytest.raises(GansmithError, match="too few"):
        TrainingScore(real().train, find("pixels"), n=5)
