"""Weights of pretrained networks: found on this machine, checked, then read. Nothing is downloaded, nothing is run."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.places import cache_folder

N = TypeVar("N", bound=nn.Module)
State = dict[str, Tensor]


@dataclass(frozen=True)
class WeightsFile:
    """A file that a user has, or can get.

    Args:
        extractor: or perceptual network that needs it, for messages.
        name: of the file, as it is published.
        page: where a person can download it, or the command that installs it.
        sha256: digests that are accepted, in hexadecimal, each whole or its first 8 digits and more; empty when none
            is published: the file's own digest then stands in every protocol, but nothing vouches for it.
        hub: "owner/repository/file" in a Hugging Face cache.
        package: installed Python package that ships it, and the path inside, as "package/models/file.pth".
        also: other names under which the same file goes about.
        instead: what a user can take meanwhile.
    """

    extractor: str
    name: str
    page: str
    sha256: tuple[str, ...] = ()
    hub: str = ""
    package: str = ""
    also: tuple[str, ...] = ()
    instead: tuple[str, ...] = ("efficientnet_lite0", "judge")


def locate(file: WeightsFile, where: str | Path | None = None) -> Path:
    """The file's path.

    Args:
        where: the file itself or the folder that holds it; None = $GANSMITH_WEIGHTS, gansmith's cache, the caches of
            torch.hub and Hugging Face, and the package that ships it, in this order.

    Raises:
        GansmithError: it is not there; the message says where to get it and what to use meanwhile.
    """
    if where is not None:
        path = Path(where).expanduser()
        path = _named(path, file) if path.is_dir() else path
        if not path.is_file():
            raise GansmithError(f'{file.extractor}: there is no weights file "{path}": get it from {file.page}.')
        return path
    for path in _places(file):
        if path.is_file():
            return path
    raise GansmithError(
        f"{file.extractor} needs the weights file {file.name}, which is not on this machine: get it from {file.page} "
        f'and put it into "{cache_folder() / "weights"}" (or a folder named by $GANSMITH_WEIGHTS); '
        f"meanwhile use {' or '.join(name for name in file.instead if name != file.extractor)}."
    )


def _places(file: WeightsFile) -> Iterator[Path]:
    folders = [cache_folder() / "weights", Path(torch.hub.get_dir()) / "checkpoints"]
    if os.environ.get("GANSMITH_WEIGHTS"):
        folders.insert(0, Path(os.environ["GANSMITH_WEIGHTS"]).expanduser())
    yield from (_named(folder, file) for folder in folders)
    if file.hub:
        owner, repository, name = file.hub.split("/", 2)
        snapshots = _hub_cache() / f"models--{owner}--{repository}" / "snapshots"
        yield from sorted(snapshots.glob(f"*/{name}"))
    if file.package:
        package, _, inside = file.package.partition("/")
        spec = importlib.util.find_spec(package)  # finds it without importing it
        for folder in (spec.submodule_search_locations or []) if spec else []:
            yield Path(folder) / inside


def _named(folder: Path, file: WeightsFile) -> Path:
    """The file in this folder under one of its names; under its first when there is none."""
    paths = [folder / name for name in (file.name, *file.also)]
    return next((path for path in paths if path.is_file()), paths[0])


def _hub_cache() -> Path:
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"]).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"


def verify(path: Path, accepted: tuple[str, ...]) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits. Raises GansmithError when it is none of those accepted."""
    try:
        with open(path, "rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise GansmithError(f'The weights file "{path}" cannot be read: {error.strerror}.') from None
    if accepted and not any(found.startswith(known.lower()) for known in accepted):
        raise GansmithError(
            f'The weights file "{path}" is not the published one: its SHA-256 should begin with '
            f"{' or '.join(known[:16] for known in accepted)} and is {found[:16]}...; download it again."
        )
    return found


def read(path: Path) -> State:
    """Tensors by name, from safetensors or from a PyTorch file of plain tensors, on the CPU; no code is run.

    Raises:
        GansmithError: the file is damaged, or holds anything else than a dictionary of tensors.
    """
    try:
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # a reader that refuses raises what it likes
        reason = str(error).strip().partition("\n")[0]
        raise GansmithError(f'The weights file "{path}" cannot be read safely: {reason[:200]}') from None
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise GansmithError(f'The weights file "{path}" does not hold a dictionary of tensors: it is another file.')
    return dict(found)


def fill(net: N, state: Mapping[str, Tensor], source: str | Path) -> N:
    """Put tensors into a network that was built on the device "meta": every one must be there, in its shape.

    Args:
        net: changed in place: float32, channels last, evaluation mode, no gradients. Counters of BatchNorm may be
            missing; what the network does not know is left aside.
        source: of the tensors, for the message.

    Raises:
        GansmithError: a tensor is missing, has another shape, or holds something else than finite numbers.
    """
    wanted, chosen = net.state_dict(), {}
    for name, value in wanted.items():
        found = torch.zeros((), dtype=torch.int64) if name.endswith("num_batches_tracked") else state.get(name)
        if found is None or found.shape != value.shape:
            shape = "missing" if found is None else tuple(found.shape)
            raise GansmithError(
                f'The weights file "{source}" does not fit: {name} should be {tuple(value.shape)} and is {shape}.'
            )
        if value.is_floating_point() and not _usable(found):
            raise GansmithError(
                f'The weights file "{source}" does not fit: {name} should hold finite floating-point numbers.'
            )
        chosen[name] = found.float() if value.is_floating_point() else found
    net.load_state_dict(chosen, assign=True)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net.eval().requires_grad_(False)


def _usable(x: Tensor) -> bool:
    return x.layout is torch.strided and x.is_floating_point() and bool(x.float().isfinite().all())


def load(
    make: Callable[[], N],
    file: WeightsFile,
    where: str | Path | None = None,
    rename: Callable[[State], State] | None = None,
) -> tuple[N, str]:
    """A pretrained network: located, verified, read, filled, in this order.

    Args:
        make: builds the network; called on the device "meta", so that no random number is drawn.
        where: as in `locate`.
        rename: turns the file's names and layout into the network's.

    Returns:
        The network, as `fill` leaves it, and the first 8 digits of the file's SHA-256.

    Raises:
        GansmithError: absent, not the published file, damaged, or of another network.
    """
    path = locate(file, where)
    digest = verify(path, file.sha256)
    state = read(path)
    with torch.device("meta"):
        net = make()
    return fill(net, rename(state) if rename else state, path), digest[:8]
