"""Where a game is played: device, precision and processes, through Lightning Fabric."""

from __future__ import annotations

import atexit
import logging
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor

from gansmith.errors import GansmithError, TrainingError

T = TypeVar("T")

PRECISIONS = ("auto", "32", "bf16")


@dataclass(frozen=True)
class Place:
    """A launched Fabric: one of its processes is here."""

    fabric: Fabric

    @property
    def device(self) -> torch.device:
        return self.fabric.device

    @property
    def world(self) -> int:
        """How many processes play together."""
        return self.fabric.world_size

    @property
    def rank(self) -> int:
        return self.fabric.global_rank

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return bool(self.fabric.is_global_zero)

    def average(self, flat: Tensor) -> Tensor:
        """The mean of a flat tensor over all processes. Raises TrainingError when one of them is gone."""
        return self._reduce(flat, "mean")

    def total(self, flat: Tensor) -> Tensor:
        """The sum of a flat tensor over all processes. Raises TrainingError when one of them is gone."""
        return self._reduce(flat, "sum")

    def _reduce(self, flat: Tensor, how: Literal["mean", "sum"]) -> Tensor:
        with self._together():
            out = self.fabric.all_reduce(flat, reduce_op=how)
        assert isinstance(out, Tensor)
        return out

    def gather(self, thing: T) -> list[T]:
        """What every process gives, in the order of their ranks."""
        things = [thing] * self.world
        if self.world > 1:
            with self._together():
                torch.distributed.all_gather_object(things, thing)
        return things

    def on_first(self, work: Callable[[], T]) -> T:
        """Let the first process work: every process gets the result, or its GansmithError."""
        result, problem = None, None
        if self.first:
            try:
                result = work()
            except GansmithError as e:
                problem = str(e)
        result, problem = self.gather((result, problem))[0]
        if problem is not None:
            raise GansmithError(problem)
        return result  # type: ignore[return-value]

    @contextmanager
    def told_once(self) -> Iterator[None]:
        """For trouble that all processes meet alike: the first tells of it, the others end without a word."""
        try:
            yield
        except (GansmithError, TrainingError) as e:
            if self.first:
                raise
            raise SystemExit(2 if isinstance(e, GansmithError) else 1) from None

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as e:
            raise TrainingError(
                f"Another process of this training is gone ({str(e).strip().splitlines()[-1]}): read what it said; "
                "then go on from the last checkpoint with gansmith resume."
            ) from None

    def caster(self, precision: str) -> Callable[[], AbstractContextManager[Any]]:
        """Makes the context for forward passes: autocast to bf16, or nothing for "32"."""
        if precision == "bf16":
            return lambda: torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext


def launch(device: str = "auto", devices: int = 1, nodes: int = 1) -> Place:
    """Start the processes and say where this one plays.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
        devices: processes on this machine, one a device (on the CPU: they share the cores).
        nodes: machines, when started on each by torchrun or SLURM.

    Raises:
        GansmithError: the device is not here, or there are too few of them.
    """
    for name in ("lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    kind = find_device(device)
    if devices < 1 or nodes < 1:
        raise GansmithError("--devices and --nodes count processes: give at least 1.")
    here = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind, devices)
    if devices > here:
        raise GansmithError(f"--devices {devices} asks for more than the {here} {kind} device(s) here: give fewer.")
    world = devices * nodes
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun has decided
        world, devices = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = world // devices
    fabric = Fabric(accelerator=kind, devices=devices, num_nodes=nodes, strategy="ddp" if world > 1 else "auto")
    fabric.launch()
    if world > 1:
        atexit.register(_part)
    return Place(fabric)


def _part() -> None:
    """Leave the other processes in order: torch's threads, still running at the end of the program, can abort it."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def find_device(device: str) -> str:
    """Resolve "auto" to the fastest kind of device here. Raises GansmithError when the asked one is absent."""
    here = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if device == "auto":
        return here[0]
    if device not in here:
        raise GansmithError(f"device {device!r} is not here: choose one of auto, {', '.join(here)}.")
    return device


def choose_precision(precision: str, kind: str, images: bool) -> tuple[str, str]:
    """(precision, reason). "auto" takes bf16 where the hardware multiplies it faster than float32."""
    if precision not in PRECISIONS:
        raise GansmithError(f"precision {precision!r} is unknown: choose one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return precision, "asked for"
    if not images:
        return "32", "small networks on points gain nothing from bf16"
    if fast_bf16(kind):
        return "bf16", f"this {kind.upper()} multiplies bf16 faster than float32"
    return "32", f"this {kind.upper()} has no fast bf16"


def fast_bf16(kind: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "cpu":
        can = torch.cpu.get_capabilities()
        return bool(can.get("avx512_bf16") or can.get("amx_bf16") or can.get("amx_tile"))
    return False


def describe(kind: str) -> str:
    """The device's name, for run.yaml and reports."""
    if kind == "cuda":
        return torch.cuda.get_device_name()
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"
