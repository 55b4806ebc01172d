"""Where a game is played, with one process; and generators made quick to draw from."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from gansmith.core import Nets
from gansmith.engine import devices, faster
from gansmith.errors import GansmithError, TrainingError


def test_precision() -> None:
    assert devices.choose_precision("bf16", "cpu", False) == ("bf16", "asked for")
    assert devices.choose_precision("32", "cuda", True) == ("32", "asked for")
    assert devices.choose_precision("auto", "cpu", False)[0] == "32"
    assert devices.choose_precision("auto", "mps", True) == ("32", "this MPS has no fast bf16")
    with pytest.raises(GansmithError, match="choose one of auto, 32, bf16"):
        devices.choose_precision("fp16", "cpu", True)


@pytest.mark.parametrize(("can", "chosen"), [({"avx512_bf16": True}, "bf16"), ({"amx_tile": True}, "bf16"), ({}, "32")])
def test_bf16_is_taken_where_the_processor_has_it(
    can: dict[str, bool], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    assert devices.choose_precision("auto", "cpu", True)[0] == chosen


def test_devices_that_are_not_here() -> None:
    assert devices.find_device("cpu") == "cpu" and devices.find_device("auto") in ("cuda", "mps", "cpu")
    with pytest.raises(GansmithError, match="choose one of auto"):
        devices.find_device("tpu")
    for numbers in ((0, 1), (1, 0), (-1, 1)):
        with pytest.raises(GansmithError, match="at least 1"):
            devices.launch("cpu", *numbers)


def test_more_devices_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(GansmithError, match="more than the 2 cuda"):
        devices.launch("cuda", 3)


def test_one_process_is_the_first_and_agrees_with_itself() -> None:
    place = devices.launch("cpu")
    assert (place.world, place.rank, place.first, place.device.type) == (1, 0, True, "cpu")
    flat = torch.tensor([1.0, 2.0])
    assert torch.equal(place.average(flat), flat) and torch.equal(place.total(flat), flat)
    assert place.gather("a") == ["a"] and place.on_first(lambda: 7) == 7

    def refuses() -> None:
        raise GansmithError("no")

    with pytest.raises(GansmithError, match="no"):
        place.on_first(refuses)
    with pytest.raises(GansmithError, match="no"), place.told_once():
        refuses()


def test_the_first_alone_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    place = devices.launch("cpu")
    monkeypatch.setattr(devices.Place, "first", False)
    for error, code in ((GansmithError("x"), 2), (TrainingError("x"), 1)):
        with pytest.raises(SystemExit) as e, place.told_once():
            raise error
        assert e.value.code == code


def test_casters() -> None:
    place, x = devices.launch("cpu"), torch.ones(2, 2)
    with place.caster("bf16")():
        assert (x @ x).dtype == torch.bfloat16
    with place.caster("32")():
        assert (x @ x).dtype == torch.float32
    assert devices.describe("cpu")


def seasoned(net: nn.Module, *shape: int) -> nn.Module:
    """With running statistics and affine parameters that are not the identity."""
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    for _ in range(3):
        net(torch.randn(*shape))
    return net.eval()


def test_batch_norm_is_folded() -> None:
    net = nn.Sequential(
        nn.ConvTranspose2d(3, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
        nn.Linear(8 * 6 * 6, 5), nn.BatchNorm1d(5),
    )  # fmt: skip
    seasoned(net, 16, 3, 4, 4)
    quick = copy.deepcopy(net)
    faster.fold_batch_norm(quick)
    assert not any(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in quick.modules())
    x = torch.randn(7, 3, 4, 4)
    torch.testing.assert_close(quick(x), net(x), atol=1e-5, rtol=1e-5)


class Twice(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self[1](self[0](x)) + self[0](x)


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.ConvTranspose2d(4, 4, 3, groups=2), nn.BatchNorm2d(4)),
        nn.Sequential(weight_norm(nn.Conv2d(4, 4, 3, padding=1)), nn.BatchNorm2d(4)),
        nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)),
        Twice(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)),
    ],
)
def test_what_cannot_be_folded_is_left(net: nn.Module) -> None:
    seasoned(net, 16, 4, 6, 6)
    x, nets = torch.randn(3, 4, 6, 6), Nets({"G": copy.deepcopy(net)})
    quick = faster.for_sampling(nets, "32", images=True)
    assert any(isinstance(m, nn.BatchNorm2d) for m in quick.modules())
    torch.testing.assert_close(quick["G"](x), net(x), atol=1e-5, rtol=1e-5)


def test_weights_are_cast_for_sampling() -> None:
    nets = faster.for_sampling(Nets({"G": nn.Conv2d(3, 4, 3)}), "bf16", images=True)
    weight = nets["G"].weight
    assert weight.dtype == torch.bfloat16 and weight.is_contiguous(memory_format=torch.channels_last)
