"""The judge on whole data sets: as good as a judge must be, and in the time that an evaluation may take.

At most 20 s for digits and 90 s for garments on two free cores; processor seconds of one thread are what is asserted,
because they depend less on what else the machine does.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import Tensor

from gansmith.data import open_data
from gansmith.errors import GansmithError
from gansmith.evaluation.features.judge import Judge, train_judge


def judged(name: str, seed: int = 0) -> tuple[Judge, float]:
    """The judge of a named set, tested on its held-out part, and the processor seconds of its training."""
    try:
        data = open_data(name, progress=False)
    except GansmithError as error:
        pytest.skip(str(error))
    x, y = data.fetch(np.arange(data.spec.count), ("x", "y"))
    test: tuple[Tensor, Tensor] = data.fetch_held_out(np.arange(len(data.held_out)), ("x", "y"))  # type: ignore[assignment]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        begin = time.process_time()
        judge = train_judge(x, y, len(data.spec.classes), held_out=test, seed=seed)
        return judge, time.process_time() - begin
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_judge_of_digits(seed: int) -> None:
    judge, seconds = judged("digits", seed)
    print(f"accuracy {judge.accuracy:.4f} of {judge.tested}, {seconds:.1f} s")
    assert judge.accuracy >= 0.97 and seconds <= 40


def test_judge_of_garments() -> None:
    judge, seconds = judged("fashion_mnist")
    print(f"accuracy {judge.accuracy:.4f} of {judge.tested}, {seconds:.1f} s")
    assert judge.accuracy >= 0.88 and seconds <= 150
