"""Scores of translations: each number from its own function, intervals that hold, baselines, words and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation import frechet_distance, kernel_distance, nearest
from gansmith.evaluation.baselines import bicubic, identity, nearest_neighbour
from gansmith.evaluation.features import find
from gansmith.evaluation.fidelity import absolute_error, as_saved, cropped, luma, pixel_accuracy, psnr
from gansmith.evaluation.score import Score
from gansmith.evaluation.ssim import ssim
from gansmith.evaluation.translation import Job, Translation, score_translation
from gansmith.objectives import lpips_form


class Plain:
    """A perceptual network that gives the image and its halved size."""

    pyramid = spaces = ("whole", "half")
    deep = raw = "half"
    name, identity, device = "plain", "plain 1 0123abcd", torch.device("cpu")

    def __call__(self, x: Tensor, taps: Sequence[str]) -> tuple[Tensor, ...]:
        both = {"whole": x + 2, "half": torch.nn.functional.avg_pool2d(x, 2) + 2}
        return tuple(both[tap] for tap in taps)


def images(n: int = 24, side: int = 16, channels: int = 3, seed: int = 0) -> Tensor:
    """Images that an 8-bit file holds."""
    return as_saved(torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1, "x")


def noisy(x: Tensor, spread: float = 0.3, seed: int = 1) -> Tensor:
    return as_saved(x + spread * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)), "x")


def values(found: Translation, who: str = "outputs") -> dict[str, float]:
    return {score.name: score.value for score in found.scores[who]}


# ---------------------------------------------------------------- every number from its own function


def test_numbers_are_those_of_their_functions() -> None:
    targets = images()
    outputs, inputs = noisy(targets), images(seed=2)
    cycles, palette = noisy(inputs, 0.1, 3), images(1, seed=4)[0, :, 0, :5].T
    heads = [torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.1, 0.0, 3.0])]
    job = Job(outputs=outputs, targets=targets, inputs=inputs, cycles=cycles, phi=Plain(), palette=palette)
    found = score_translation(job)
    expected = {
        "PSNR": psnr(outputs, targets),
        "SSIM": ssim(outputs, targets),
        "L1": absolute_error(outputs, targets),
        "lpips_form(plain)": lpips_form(Plain(), outputs, targets),
        "pixel accuracy": pixel_accuracy(outputs, targets, palette),
        "cycle L1": absolute_error(cycles, inputs),
    }
    assert values(found) == pytest.approx({name: float(each.double().mean()) for name, each in expected.items()})
    for score in found.scores["outputs"]:
        each = expected[score.name].double().numpy()
        half = 1.959963984540054 * each.std(ddof=1) / math.sqrt(len(each))
        assert (score.low, score.high) == pytest.approx((each.mean() - half, each.mean() + half), rel=1e-6)
        assert (score.protocol.n_fake, score.protocol.n_real) == (24, 24)
    learned = score_translation(replace(job, heads=heads))
    name = "lpips_form(plain, lpips heads)"
    assert values(learned)[name] == pytest.approx(float(lpips_form(Plain(), outputs, targets, heads).mean()))


def test_luma_and_border_are_a_protocol_of_their_own() -> None:
    targets = images(side=20)
    outputs = noisy(targets)
    found = score_translation(Job(outputs=outputs, targets=targets, channel="y", border=4))
    a, b = (cropped(luma(x), 4) for x in (outputs, targets))
    assert values(found)["PSNR (Y)"] == pytest.approx(float(psnr(a, b).mean()))
    assert values(found)["SSIM (Y)"] == pytest.approx(float(ssim(a, b).mean()))
    assert values(found)["L1"] == pytest.approx(float(absolute_error(outputs, targets).mean()))  # of all pixels
    rgb = score_translation(Job(outputs=outputs, targets=targets)).scores["outputs"][0]
    settings = found.scores["outputs"][0].protocol.settings
    assert (settings["channel"], settings["border"], settings["bits"]) == ("y", 4, 8)
    assert rgb.protocol.differs(found.scores["outputs"][0].protocol)


def test_outputs_are_scored_as_they_would_be_saved() -> None:
    targets = images()
    found = score_translation(Job(outputs=targets + 0.003, targets=targets))  # less than half a level
    assert values(found)["L1"] == 0 and values(found)["PSNR"] == math.inf


def test_distances_to_the_domain_are_the_usual_ones() -> None:
    targets, domain = images(30, 8), images(25, 8, seed=5)
    outputs, pixels = noisy(targets), find("pixels")
    found = score_translation(Job(outputs=outputs, targets=targets, domain=domain, extractor=pixels))
    scores = {score.name: score for score in found.scores["outputs"]}
    looked = [pixels.features(x) for x in (outputs, domain, targets)]
    assert scores["FD(pixels)"].value == pytest.approx(frechet_distance(*looked[:2]), rel=1e-6)
    assert scores["FD(pixels)"].real == pytest.approx(frechet_distance(looked[2], looked[1]), rel=1e-6)
    assert scores["KID"].value == pytest.approx(kernel_distance(*looked[:2]), rel=1e-6)
    protocol = scores["KID"].protocol
    assert (protocol.n_fake, protocol.n_real, protocol.extractor) == (30, 25, "pixels 1")
    assert scores["FD(pixels)"].low is not None


def test_without_partners_only_the_domain_counts() -> None:
    found = score_translation(Job(outputs=images(20, 8), domain=images(20, 8, seed=1), extractor=find("pixels")))
    assert set(values(found)) == {"FD(pixels)", "FD(pixels) infinity", "KID"}
    assert found.scores["outputs"][0].real is None


def test_few_images_leave_out_what_needs_many() -> None:
    job = Job(outputs=images(19, 8), targets=images(19, 8), domain=images(40, 8), extractor=find("pixels"))
    found = score_translation(job)
    assert set(values(found)) == {"PSNR", "L1"}
    assert found.notes == (
        "SSIM needs 11 px or more: it was left out.",
        "FD and KID need 20 images a side: they were left out.",
    )


def test_one_image_has_no_interval() -> None:
    targets = images(2)
    one = score_translation(Job(outputs=noisy(targets)[:1], targets=targets[:1], baselines={"other": targets[1:]}))
    assert all(score.low is None and math.isfinite(score.value) for score in one.scores["outputs"])
    assert all(gain.low is None and gain.better is None for gain in one.gains)


# ---------------------------------------------------------------- intervals


def test_intervals_cover_the_mean_over_images() -> None:
    """Images whose noise varies as in life: the mean over 20,000 of them lies in 95 of 100 intervals, nearly."""
    rng = torch.Generator().manual_seed(0)

    def drawn(n: int) -> tuple[Tensor, Tensor]:
        target = torch.rand(n, 1, 4, 4, generator=rng) * 2 - 1
        spread = 0.05 + 0.3 * torch.rand(n, 1, 1, 1, generator=rng)
        return target + spread * torch.randn(target.shape, generator=rng), target

    outputs, targets = drawn(20_000)
    true = values(score_translation(Job(outputs=outputs, targets=targets)))
    hits = dict.fromkeys(true, 0)
    repeats = 300
    for _ in range(repeats):
        outputs, targets = drawn(40)
        for score in score_translation(Job(outputs=outputs, targets=targets)).scores["outputs"]:
            assert score.low is not None and score.high is not None
            hits[score.name] += score.low < true[score.name] < score.high
    for name, count in hits.items():
        assert 0.91 < count / repeats < 0.98, (name, count / repeats)


def test_gains_cover_and_are_tighter_than_two_intervals() -> None:
    """A baseline with the same error and a little more, image by image."""
    rng = torch.Generator().manual_seed(0)
    hits, repeats = 0, 300
    for _ in range(repeats):
        error = 0.05 + 0.5 * torch.rand(40, 1, 1, 1, generator=rng)
        more = 0.02 * torch.rand(40, 1, 1, 1, generator=rng)
        black = torch.full((40, 1, 2, 2), -1.0)
        job = Job(outputs=black + error, targets=black, baselines={"worse": black + error + more})
        found = score_translation(job)
        gain = next(gain for gain in found.gains if gain.score == "L1")
        assert gain.low is not None and gain.high is not None
        hits += gain.low < 0.01 < gain.high
        wide = next(score for score in found.scores["outputs"] if score.name == "L1")
        assert wide.low is not None and gain.high - gain.low < 0.2 * (wide.high - wide.low)  # type: ignore[operator]
    assert 0.90 < hits / repeats < 0.98


def test_gains_know_which_way_is_better() -> None:
    targets = images(20)
    near, far = noisy(targets, 0.1), noisy(targets, 0.4)
    found = score_translation(Job(outputs=near, targets=targets, baselines={"far": far, "same": near}, phi=Plain()))
    gains = {(gain.baseline, gain.score): gain for gain in found.gains}
    for name in ("PSNR", "SSIM", "L1", "lpips_form(plain)"):
        assert gains["far", name].better is True and gains["far", name].value > 0, name
        assert gains["same", name].better is None and gains["same", name].value == 0, name
    turned = score_translation(Job(outputs=far, targets=targets, baselines={"near": near}))
    assert all(gain.better is False for gain in turned.gains)


# ---------------------------------------------------------------- baselines


def test_identity_on_equal_pairs_is_infinite_and_fits_json() -> None:
    x = images(4)
    found = score_translation(Job(outputs=noisy(x), targets=x, baselines={"identity": identity(x, x.shape[1:])}))
    score = found.scores["identity"][0]
    assert score.value == math.inf and score.low is None
    assert score.warnings == ("4 of 4 images equal their targets to the bit, so the mean is infinite.",)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["scores"]["identity"][0]["value"] is None and told["scores"]["identity"][1]["value"] == 1.0
    assert {gain["score"] for gain in told["gains"]} == {"SSIM", "L1"}  # an infinite difference says nothing
    assert "infinite" in found.table()
    again = Score.from_json(told["scores"]["outputs"][0], "here")
    assert again == found.scores["outputs"][0]


def test_identity_brings_size_and_channels() -> None:
    x = images(2, 8)
    assert torch.equal(identity(x, (3, 8, 8)), x)
    grey = identity(x, (1, 8, 8))
    torch.testing.assert_close(grey, (x * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True))
    assert torch.equal(identity(grey, (3, 8, 8)), grey.repeat(1, 3, 1, 1))
    assert identity(x, (3, 12, 20)).shape == (2, 3, 12, 20)
    with pytest.raises(GansmithError, match=r"\(2, 4, 8, 8\) cannot stand for outputs of \(3, 8, 8\)"):
        identity(torch.zeros(2, 4, 8, 8), (3, 8, 8))


def test_bicubic_is_pillows() -> None:
    from PIL import Image

    x = images(1, 12)
    found = bicubic(x, 4)
    for channel, ours in zip(x[0], found[0], strict=True):
        theirs = np.asarray(Image.fromarray(channel.numpy()).resize((48, 48), Image.Resampling.BICUBIC))
        np.testing.assert_allclose(ours.numpy(), theirs.clip(-1, 1), atol=1e-5)


def test_nearest_neighbour_takes_the_targets_of_the_nearest_inputs() -> None:
    inputs, train, targets = images(10, 8), images(50, 8, seed=1), images(50, 12, seed=2)
    near = torch.cdist(inputs.flatten(1), train.flatten(1)).argmin(1)
    assert torch.equal(nearest_neighbour(inputs, train, targets), targets[near])
    assert nearest(inputs, train, 1).indices[:, 0].tolist() == near.tolist()
    with pytest.raises(GansmithError, match="50 training inputs and 49 targets"):
        nearest_neighbour(inputs, train, targets[1:])


# ---------------------------------------------------------------- words


def test_table_has_rows_columns_and_the_protocol() -> None:
    targets = images(24)
    found = score_translation(
        Job(
            outputs=noisy(targets, 0.1),
            targets=targets,
            domain=images(30, seed=7),
            extractor=find("pixels"),
            phi=Plain(),
            baselines={"identity": noisy(targets, 0.5)},
            direction="B2A",
        )
    )
    lines = found.table().splitlines()
    assert lines[0].split() == ["outputs", "identity"]
    psnr_line = next(line for line in lines if line.startswith("PSNR ↑"))
    assert psnr_line.count(" to ") == 2
    assert any(line.startswith("L1 ↓") for line in lines) and any(line.startswith("KID ↓") for line in lines)
    assert "Against identity: better: PSNR, SSIM, L1, lpips_form(plain)" in lines
    assert any(line.startswith("The true partners score: FD(pixels) ") for line in lines)
    protocol = lines[-1]
    for words in (
        "Protocol: 24 images, B2A, held-out, 8 bits",
        "PSNR, SSIM: channel rgb, border 0",
        "lpips_form(plain): plain 1 0123abcd",
        "KID: pixels 1, against 30 images of the domain",
        "seed 0; 95 % intervals",
    ):
        assert words in protocol


# ---------------------------------------------------------------- bad input


def test_bad_jobs_are_explained() -> None:
    x = images(4)
    good = Job(outputs=x, targets=x)
    for job, words in (
        (Job(outputs=x), "Nothing to score against"),
        (replace(good, inputs=x), "cycle error needs both"),
        (replace(good, domain=x), "distance to the domain needs both"),
        (replace(good, extractor=find("pixels")), "distance to the domain needs both"),
        (Job(outputs=x, inputs=x, cycles=x, phi=Plain()), "need targets: none were given"),
        (Job(outputs=x, inputs=x, cycles=x, palette=torch.zeros(2, 3)), "need targets: none were given"),
        (replace(good, heads=[torch.ones(3)]), "heads are of a perceptual network"),
        (replace(good, targets=x[:3]), r"targets has shape \(3, 3, 16, 16\), the outputs \(4, 3, 16, 16\)"),
        (replace(good, baselines={"mine": x[:, :1]}), r"mine has shape \(4, 1, 16, 16\)"),
        (replace(good, outputs=x[:, :, 0]), r"outputs has shape \(4, 3, 16\)"),
        (replace(good, inputs=x, cycles=x[:2]), r"cycles has shape \(2, 3, 16, 16\)"),
        (replace(good, inputs=x[:2], cycles=x[:2]), r"cycles has shape \(2, 3, 16, 16\)"),
        (replace(good, domain=images(30, 8), extractor=find("pixels")), r"domain has shape \(30, 3, 8, 8\)"),
        (replace(good, border=8), "border = 8 leaves nothing"),
        (replace(good, targets=torch.full_like(x, torch.nan)), "targets has a value that is not finite"),
    ):
        with pytest.raises(GansmithError, match=words) as error:
            score_translation(job)
        assert "\n" not in str(error.value)
