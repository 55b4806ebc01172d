"""Regularisation every k-th round: the weight it then needs, and the optimizer that goes with it."""

from __future__ import annotations

from gansmith.errors import GansmithError


def lazy(round: int, every: int) -> float:
    """The factor of a penalty in this round: `every` when it is due, 0.0 when not; 1 on average.

    Use it as `if factor := lazy(clock.round, self.r1_every): terms["r1"] = factor * self.gamma / 2 * ...`, so that
    the penalty is not computed when it is not due.

    Args:
        round: rounds played so far, from 0; round 0 is due.
        every: how many rounds from one use to the next, at least 1.

    Raises:
        GansmithError: `every` is below 1.

    Source: Karras et al. 2020, arXiv:1912.04958, appendix B.

    >>> [lazy(round, 4) for round in range(6)]
    [4.0, 0.0, 0.0, 0.0, 4.0, 0.0]
    """
    return float(every) if round % _counted(every) == 0 else 0.0


def lazy_adam_rescale(lr: float, betas: tuple[float, float], every: int) -> tuple[float, tuple[float, float]]:
    """Adam's settings for a player whose penalty takes a step of its own every `every` rounds.

    There are then every + 1 steps where one counted `every`: with c = every / (every + 1) the rate becomes c * lr and
    the betas b^c, so that Adam's memory and reach stay the same per round. Where the
    penalty is a further term of a step that is made anyway, nothing is to be rescaled.

    Args:
        lr: learning rate without lazy regularisation, above 0.
        betas: Adam's two decay rates, 0 to 1.
        every: how many rounds from one use to the next, at least 1.

    Returns:
        (lr, betas), rescaled.

    Raises:
        GansmithError: `every` is below 1.

    Source: Karras et al. 2020, arXiv:1912.04958, appendix B.

    >>> lazy_adam_rescale(0.002, (0.0, 0.25), every=1)                 # c = 1/2
    (0.001, (0.0, 0.5))
    """
    c = _counted(every) / (every + 1)
    return lr * c, (betas[0] ** c, betas[1] ** c)


def _counted(every: int) -> int:
    if every < 1:
        raise GansmithError(f"A penalty cannot be used every {every} rounds: give 1 or more.")
    return every
