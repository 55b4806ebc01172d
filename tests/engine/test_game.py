"""The rules of the game: who is moved by which gradients, averages, optimizers, exact state, what is not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, adam, rmsprop, sgd
from gansmith.engine import checkpoint
from gansmith.engine.game import Diverged, Game, seed_everywhere
from gansmith.errors import GansmithError
from tests.engine import tiny
from tests.engine.tiny import SPEC, Normal, Tiny, tensors

Round = Callable[[Nets, Data, Clock], Iterator[Move]]


@dataclass(frozen=True, kw_only=True)
class Free(Recipe):
    """Two linear nets A and B, and a round that the test gives."""

    averaged = ("A",)
    play: Any = None
    ema_half_life: float = 0.0

    def build(self, data: DataSpec) -> Nets:
        return Nets({"A": nn.Linear(2, 2), "B": nn.Linear(2, 1)})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        return self.play(nets, data, clock)


def free(play: Round, **fields: Any) -> Game:
    return Game(Free(play=play, **fields), SPEC, Normal())


def rounds(game: Game, n: int) -> Game:
    for _ in range(n):
        game.play()
    return game


def saved(game: Game, folder: Path) -> Path:
    nets, optims, rest = game.state()
    return checkpoint.save(folder, (nets, optims, rest | {"seconds": 0.0}))


def assert_same(a: Game, b: Game) -> None:
    x, y = tensors(a), tensors(b)
    assert x.keys() == y.keys()
    for name in x:
        assert torch.equal(x[name], y[name]), name


# ---------------------------------------------------------------- gradients and steps


def test_only_the_movers_own_nets_get_gradients_and_move() -> None:
    seen: list[bool] = []

    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        before = {k: v.clone() for k, v in nets.state_dict().items()}
        fake = nets["A"](data(4))
        yield Player("B", ("B",), sgd(0.1)), {"adv": nets["B"](fake).mean()}  # not detached
        seen.append(all(p.grad is None for p in nets.parameters()))
        seen.append(torch.equal(before["A.weight"], nets["A"].weight))
        seen.append(not torch.equal(before["B.weight"], nets["B"].weight))
        between = nets["B"].weight.clone()
        yield Player("A", ("A",), sgd(0.1)), {"adv": -nets["B"](nets["A"](data(4))).mean()}
        seen.append(all(p.grad is None for p in nets.parameters()))
        seen.append(torch.equal(between, nets["B"].weight))
        seen.append(not torch.equal(before["A.weight"], nets["A"].weight))

    free(play).play()
    assert seen == [True] * 6


def test_gradients_are_there_for_the_mover_alone_when_it_steps() -> None:
    found: dict[str, set[str]] = {}

    class Watching(torch.optim.SGD):
        nets: Nets

        def step(self, closure: Any = None) -> Any:
            found[self.who] = {n for n, p in self.nets.named_parameters() if p.grad is not None}
            return super().step(closure)

    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        def optim(who: str) -> Callable[..., Watching]:
            def make(params: Any) -> Watching:
                made = Watching(params, lr=0.1)
                made.who, made.nets = who, nets
                return made

            return make

        score = nets["B"](nets["A"](data(4))).mean()
        yield Player("B", ("B",), optim("B")), {"adv": score}
        yield Player("A", ("A",), optim("A")), {"adv": nets["B"](nets["A"](data(4))).mean()}

    free(play).play()
    assert found == {"B": {"B.weight", "B.bias"}, "A": {"A.weight", "A.bias"}}


def test_a_small_gan_moves_as_in_a_loop_written_by_hand() -> None:
    recipe = Tiny(lr_final=1.0)
    game = rounds(Game(recipe, SPEC, Normal(), seed=3), 6)
    seed_everywhere(3)
    nets = recipe.build(SPEC).train()
    G, D = nets["G"], nets["D"]
    for p in G.parameters():
        p.requires_grad_(True)
    step_d, step_g = adam(1e-3)(D.parameters()), adam(1e-3)(G.parameters())
    for i in range(6):
        seed_everywhere(3, i, 0, 0)
        real, z = torch.randn(8, 2), torch.randn(8, 2)
        fake = G(z)
        step_d.zero_grad()
        (F.softplus(-D(real)).mean() + F.softplus(D(fake.detach())).mean()).backward()
        step_d.step()
        step_g.zero_grad()
        F.softplus(-D(fake)).mean().backward()
        step_g.step()
    for name, value in nets.state_dict().items():
        assert torch.equal(value, game.nets.state_dict()[name]), name
    assert (game.clock.round, game.clock.seen) == (6, 48)


def one_move(player: Player) -> Round:
    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        yield player, {"adv": nets["A"](data(4)).square().mean()}

    return play


def test_options_are_written_into_the_groups_and_the_lr_is_scaled() -> None:
    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        options = {"lr": 0.5 / (clock.round + 1), "betas": (0.5, 0.75)} if clock.round < 2 else {}
        yield Player("A", ("A",), adam(0.1), options), {"adv": nets["A"](data(4)).square().mean()}

    game = free(play)
    lrs = []
    for _ in range(3):
        game.play()
        lrs.append(game.optims["A"].param_groups[0]["lr"])
    assert lrs == [0.5, 0.25, 0.1]  # without an option: the optimizer's own
    assert game.optims["A"].param_groups[0]["betas"] == (0.5, 0.75)
    game.lr_scale = 0.5
    game.play()
    assert game.optims["A"].param_groups[0]["lr"] == 0.05


def test_optimizers_are_made_at_the_first_move_and_a_curriculum_starts_fresh() -> None:
    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        name = "early" if clock.round < 2 else "late"
        yield Player(name, ("A",), adam(0.1)), {"adv": nets["A"](data(4)).square().mean()}

    game = free(play)
    assert game.optims == {}
    rounds(game, 2)
    assert list(game.optims) == ["early"]
    rounds(game, 1)
    steps = {k: float(next(iter(o.state.values()))["step"]) for k, o in game.optims.items()}
    assert steps == {"early": 2.0, "late": 1.0}


def test_a_player_that_changes_its_nets_is_refused() -> None:
    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        mine = "AB"[clock.round]
        yield Player("P", (mine,), sgd(0.1)), {"adv": nets[mine](data(4)).square().mean()}

    game = free(play)
    game.play()
    with pytest.raises(GansmithError, match="another name"):
        game.play()


# ---------------------------------------------------------------- averages


@dataclass(frozen=True, kw_only=True)
class Steady(Free):
    """Half-life in ksamples without the short start."""

    def half_life(self, clock: Clock) -> float:
        return 1000 * self.ema_half_life


def test_average_has_the_closed_form() -> None:
    """With a constant step s per round: w_n = w_0 + n s, and the average follows a_n = d a_(n-1) + (1 - d) w_n."""

    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        data(250)
        yield Player("A", ("A",), sgd(1.0)), {"adv": nets["A"].weight.sum()}  # gradient 1: a step of -1

    game = Game(Steady(play=play, ema_half_life=0.5), SPEC, Normal())  # decay per round: 0.5 ** (250 / 500)
    start, n, d = game.nets["A"].weight.detach().clone(), 5, 0.5**0.5
    rounds(game, n)
    lag = sum(d**k for k in range(n))  # of n steps, the average has made n - (d + d^2 + ... + d^n) of them
    torch.testing.assert_close(game.ema["A"].weight, start - (n - d * lag))


def test_half_life_0_copies_and_buffers_are_copied() -> None:
    game = rounds(Game(Tiny(ema_half_life=0.0), SPEC, Normal()), 3)
    for name, value in game.nets["G"].state_dict().items():
        assert torch.equal(value, game.ema["G"].state_dict()[name]), name
    game = rounds(Game(Tiny(ema_half_life=10.0), SPEC, Normal()), 3)
    assert torch.equal(game.nets["G"][1].running_mean, game.ema["G"][1].running_mean)
    assert not torch.equal(game.nets["G"][0].weight, game.ema["G"][0].weight)
    assert not any(p.requires_grad for p in game.ema.parameters())


# ---------------------------------------------------------------- state


def test_ten_rounds_are_five_a_checkpoint_and_five(tmp_path: Path) -> None:
    straight = rounds(Game(Tiny(), SPEC, Normal()), 10)
    first = rounds(Game(Tiny(), SPEC, Normal()), 5)
    path = saved(first, tmp_path)
    second = Game(Tiny(), SPEC, Normal(), seed=0)
    second.restore(*checkpoint.load(path), path)
    assert_same(second, first)  # before anybody moved: the optimizers' states wait
    assert_same(rounds(second, 5), straight)
    assert second.clock == straight.clock


@pytest.mark.parametrize("optim", [adam(0.01), sgd(0.01), sgd(0.01, momentum=0.9), rmsprop(0.01)])
def test_a_player_that_has_not_moved_since_keeps_its_state(optim: Any, tmp_path: Path) -> None:
    """Rounds 0, 1: both; 2 to 7: only A; then both. Checkpoints at 3 and 5 know B's optimizer only from before."""

    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        x = data(4)
        if clock.round < 2 or clock.round > 7:
            yield Player("B", ("B",), optim), {"adv": nets["B"](x).square().mean()}
        yield Player("A", ("A",), optim), {"adv": nets["A"](x).square().mean()}

    straight, game = rounds(free(play), 10), free(play)
    for stop in (3, 5, 10):
        rounds(game, stop - game.clock.round)
        path = saved(game, tmp_path)
        game = free(play)
        game.restore(*checkpoint.load(path), path)
    assert_same(game, straight)


def test_retries_change_the_random_numbers() -> None:
    a, b = Game(Tiny(), SPEC, Normal()), Game(Tiny(), SPEC, Normal())
    b.retries = 1
    rounds(a, 1), rounds(b, 1)
    assert not torch.equal(a.nets["D"][0].weight, b.nets["D"][0].weight)


@pytest.mark.parametrize("key", ["nets.safetensors lacks", "holds other", "shape"])
def test_a_checkpoint_of_another_recipe_is_refused(key: str, tmp_path: Path) -> None:
    game = rounds(Game(Tiny(), SPEC, Normal()), 1)
    nets, optims, rest = game.state()
    wrong = {
        "nets.safetensors lacks": {k: v for k, v in nets.items() if k != "D.0.bias"},
        "holds other": nets | {"other": torch.zeros(1)},
        "shape": nets | {"D.0.bias": torch.zeros(3)},
    }[key]
    with pytest.raises(GansmithError, match=key.removeprefix("nets.safetensors ")) as e:
        game.restore(wrong, optims, rest, tmp_path / "000000008")
    assert "000000008" in str(e.value) and "\n" not in str(e.value)


# ---------------------------------------------------------------- layout


@dataclass(frozen=True, kw_only=True)
class Conv(Recipe):
    """One convolution net that learns to score noise as 1."""

    fused: bool = True

    def build(self, data: DataSpec) -> Nets:
        return Nets({"A": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        def unfused(params: Any) -> torch.optim.Optimizer:
            return torch.optim.Adam(params, lr=1e-2, fused=False)

        data(2)
        x = torch.randn(2, 3, 8, 8)
        optim = adam(1e-2) if self.fused else unfused
        yield Player("A", ("A",), optim), {"adv": (nets["A"](x) - 1).square().mean()}


def test_fused_adam_in_channels_last_is_the_unfused_contiguous_one() -> None:
    fast = rounds(Game(Conv(), SPEC, Normal(), channels_last=True), 8)
    plain = rounds(Game(Conv(fused=False), SPEC, Normal()), 8)
    weight = fast.nets["A"][0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    for name, value in plain.nets.state_dict().items():
        torch.testing.assert_close(fast.nets.state_dict()[name], value, atol=1e-6, rtol=0)


def test_restored_optimizer_state_lies_as_its_parameter(tmp_path: Path) -> None:
    straight = rounds(Game(Conv(), SPEC, Normal(), channels_last=True), 6)
    path = saved(rounds(Game(Conv(), SPEC, Normal(), channels_last=True), 3), tmp_path)
    game = Game(Conv(), SPEC, Normal(), channels_last=True)
    game.restore(*checkpoint.load(path), path)
    game.play()
    for p, state in game.optims["A"].state.items():
        assert state["exp_avg"].stride() == state["exp_avg_sq"].stride() == p.stride()
    assert_same(rounds(game, 2), straight)


# ---------------------------------------------------------------- values that are not finite


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_term_stops_before_the_step(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    game = rounds(Game(Tiny(), SPEC, Normal()), 2)
    before = {k: v.clone() for k, v in game.nets["D"].state_dict().items()}
    monkeypatch.setattr(tiny, "trouble", lambda clock: bad)
    with pytest.raises(Diverged, match=f"player D: adv is {bad}"):
        game.play()
    assert all(torch.equal(v, before[k]) for k, v in game.nets["D"].state_dict().items())


def test_a_bad_gradient_of_a_finite_term_is_named_by_its_net() -> None:
    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        data(4)
        zero = nets["A"].weight.sum() * 0
        yield Player("P", ("B", "A"), sgd(0.1)), {"adv": zero.sqrt() + nets["B"].weight.sum()}  # sqrt'(0) = inf

    game = free(play)
    before = game.nets["A"].weight.clone()
    with pytest.raises(Diverged, match="player P: grad_norm_A is nan"):
        game.play()
    assert torch.equal(game.nets["A"].weight, before)


def test_a_step_that_overflows_is_found_before_a_checkpoint() -> None:
    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        data(4)
        yield Player("A", ("A",), sgd(1e38)), {"adv": 10 * nets["A"].weight.sum()}

    game = rounds(free(play), 1)
    with pytest.raises(Diverged, match=r"A\.weight is not finite"):
        game.settle()


def test_doubts_are_kept_on_an_accelerator_until_they_are_settled() -> None:
    """As on a GPU: nothing looks during the round, and the first bad value is still there at the tick."""
    game = free(one_move(Player("A", ("A",), sgd(0.1))))
    game.device = torch.device("meta")  # any kind but the CPU: the look is put off
    good, bad = torch.tensor(1.0), torch.tensor(float("nan"))
    for value in (good, bad, good):
        game._record("A", {"adv": value}, {"A": good})
        game._record("A", {"adv": good, "r1": good}, {"A": good})  # a lazy term comes and goes
    game.device = torch.device("cpu")
    with pytest.raises(Diverged, match="player A: adv is nan"):
        game.settle()


# ---------------------------------------------------------------- records, processes


def test_means_are_over_the_moves_since_the_last_call() -> None:
    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        data(1)
        for value in (1.0, 2.0):
            yield Player("A", ("A",), sgd(0.0)), {"adv": nets["A"].weight.sum() * 0 + value + clock.round}

    game = rounds(free(play), 2)
    assert game.means() == {"A/adv": 2.0, "A/grad_norm_A": 0.0}
    assert game.means() == {}


def test_gradients_and_terms_are_averaged_in_one_call_a_move() -> None:
    calls: list[int] = []

    def average(flat: Tensor) -> Tensor:  # the other process has gradients and terms of 0, and used the same parameters
        calls.append(flat.numel())
        return flat / 2

    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        data(4)
        yield Player("A", ("A",), sgd(1.0)), {"adv": nets["A"].weight.sum()}

    game = Game(Free(play=play), SPEC, Normal(), average=average)
    before = game.nets["A"].weight.detach().clone()
    bias = game.nets["A"].bias.detach().clone()
    term = float(before.sum()) / 2
    game.play()
    assert calls == [4 + 2 + 2 + 1]  # weight, bias, which were used, the term
    torch.testing.assert_close(game.nets["A"].weight, before - 0.5)
    assert torch.equal(game.nets["A"].bias, bias)
    assert game.means()["A/adv"] == pytest.approx(term)


def test_an_unused_parameter_has_no_gradient_with_any_number_of_processes() -> None:
    """Adam would move it by its momentum if it were given zeros."""

    def play(nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        data(4)
        used = nets["A"].weight.sum() + (nets["A"].bias.sum() if clock.round == 0 else 0)
        yield Player("A", ("A",), adam(0.1)), {"adv": used}

    alone, many = free(play), Game(Free(play=play), SPEC, Normal(), average=lambda flat: flat)
    assert_same(rounds(alone, 3), rounds(many, 3))


# ---------------------------------------------------------------- a batch in parts


class Rows:
    """Real samples that are always the same, row by row."""

    def __init__(self) -> None:
        self.rows = torch.randn(64, 2, generator=torch.Generator().manual_seed(5))
        self.seen, self.waited = 0, 0.0

    def seek(self, seen: int) -> None:
        self.seen = seen

    def __call__(self, n: int) -> Tensor:
        self.seen += n
        return self.rows[self.seen - n : self.seen]

    def labelled(self, n: int, per_class: int) -> tuple[Tensor, Tensor]:
        raise AssertionError("no round here asks for labels")


@dataclass(frozen=True, kw_only=True)
class Shared(Free):
    """A makes fakes of real samples, once for both moves, and twice in a round."""

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        A, B = nets["A"], nets["B"]
        for _ in range(2):
            real = data(self.batch)
            fake = A(real)
            cost = F.softplus(-B(real)).mean() + F.softplus(B(fake.detach())).mean()
            yield Player("B", ("B",), adam(0.01)), {"adv": cost, "size": B(real).square().mean()}
        yield Player("A", ("A",), adam(0.01)), {"adv": F.softplus(-B(fake)).mean()}


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_a_batch_in_parts_moves_everybody_as_the_whole_one(parts: int) -> None:
    whole, cut = (Game(Shared(batch=8, accumulate=k), SPEC, Rows()) for k in (1, parts))
    for game in (whole, cut):
        rounds(game, 3)
    assert whole.clock == cut.clock and cut.clock.seen == 48
    for name, value in whole.nets.state_dict().items():
        torch.testing.assert_close(cut.nets.state_dict()[name], value, atol=1e-5, rtol=1e-4)
    a, b = whole.means(), cut.means()
    assert a.keys() == b.keys()
    assert all(b[k] == pytest.approx(a[k], rel=1e-3) for k in a)


def test_parts_that_do_not_divide_the_batch_are_refused() -> None:
    with pytest.raises(GansmithError, match=r"batch = 8 does not divide over 3 parts \(accumulate\)"):
        Game(Shared(batch=8, accumulate=3), SPEC, Rows())


def test_a_gan_in_parts_resumes_bit_for_bit(tmp_path: Path) -> None:
    def game() -> Game:
        return Game(Tiny(batch=8, accumulate=2), SPEC, Normal())

    whole, first = rounds(game(), 6), rounds(game(), 3)
    path = saved(first, tmp_path)
    again = game()
    again.restore(*checkpoint.load(path), path)
    assert_same(whole, rounds(again, 3))
