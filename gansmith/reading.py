"""What a trained model makes of samples: the classes that it tells, and the features that its discriminator learned.

import gansmith

found = gansmith.features("runs/00000-dcgan-digits", "digits", labels_per_class=20)
found.probes["D"].value, found.probes["pixels"].value
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith import helpers
from gansmith.abilities import Classifies, Conditioned, Discriminates
from gansmith.core import Nets
from gansmith.data import Images, open_data
from gansmith.data.prepare import Choice
from gansmith.data.stream import few_of_each
from gansmith.engine.files import write_file
from gansmith.engine.rundir import RunDir
from gansmith.errors import GansmithError
from gansmith.evaluation import probe
from gansmith.model import GAN, load

BATCH, GRID = 64, 4  # features are pooled to at most GRID x GRID
UNTRAINED = 12345  # seed of the untrained D


@dataclass(frozen=True)
class Features:
    """Activations of D, and how well a linear classifier reads the classes off them.

    Args:
        x: (N, F) float32, of the training samples and then of those held out.
        y: (N,) labels; None without.
        held_out: (N,) whether the training of the GAN never saw the sample.
        classes: names.
        probes: by what was read ("D", "untrained D", "pixels"), the accuracy on the held-out samples; empty without
            labels.
        labels_per_class: that the probes were fitted on.
    """

    x: np.ndarray
    y: np.ndarray | None
    held_out: np.ndarray
    classes: tuple[str, ...]
    probes: Mapping[str, probe.Accuracy]
    labels_per_class: int


@dataclass(frozen=True)
class Predictions:
    """Classes that a model tells.

    Args:
        names: of the samples (N,).
        chances: (N, K).
        classes: names of the K classes.
        labels: (N,) the true ones, -1 where they are not known; None without.
        accuracy: on all whose label is known, where there are labels of the same names.
    """

    names: Sequence[str]
    chances: np.ndarray
    classes: tuple[str, ...]
    labels: np.ndarray | None
    accuracy: probe.Accuracy | None

    def counts(self) -> dict[str, int]:
        """How many samples were told to be of each class."""
        told = np.bincount(self.chances.argmax(1), minlength=len(self.classes))
        return {name: int(n) for name, n in zip(self.classes, told, strict=True) if n}


def classify(
    run: str | Path, data: Any = None, *, labels: Choice = None, checkpoint: str = "latest", device: str = "cpu"
) -> Predictions:
    """The classes of samples as the model of a run tells them.

    Args:
        run: of a recipe that tells classes (ssgan, acgan).
        data: a name, a path or an array; None = those that the run was trained on, of which only the held-out ones.
        labels: of the data, as in open_data; only classes with the names of the run's are compared.
        checkpoint: "latest", "best" or a name.

    Raises:
        GansmithError: a recipe that tells no classes, or data of another shape.
    """
    gan = load(run, checkpoint=checkpoint, device=device)
    if not isinstance(gan.recipe, Classifies):
        raise GansmithError(f"{run}: {type(gan.recipe).__name__} tells no classes; ssgan and acgan do.")
    images = _images(run, data, gan, labels)
    parts = [("held_out", images.held_out)] + ([("train", images.train)] if data is not None else [])
    fetch = {"train": images.fetch, "held_out": images.fetch_held_out}
    fields = ("x", "some_y") if images.spec.has("some_y") else ("x",)
    got = [fetch[name](np.arange(len(rows)), fields) for name, rows in parts]
    chances = torch.cat([gan.classify(part[0]) for part in got]).numpy()
    names = [images.names[row] for _, rows in parts for row in rows]
    order = np.argsort(np.concatenate([rows for _, rows in parts]), kind="stable")
    true, right = None, None
    if len(fields) == 2:
        number = {name: i for i, name in enumerate(gan.spec.classes)}
        told = np.array([*(number.get(name, -1) for name in images.spec.classes), -1])
        true = told[torch.cat([part[1] for part in got]).numpy()[order]]
        if labels and not (true >= 0).any():
            raise GansmithError(
                f"No label of the data is a class of {run}, which tells {', '.join(gan.spec.classes[:10])}."
            )
        if (true >= 0).any():
            right = probe.share(torch.from_numpy((chances[order].argmax(1) == true)[true >= 0]))
    return Predictions([names[i] for i in order], chances[order], gan.spec.classes, true, right)


def features(
    run: str | Path,
    data: Any = None,
    *,
    labels: Choice = None,
    labels_per_class: int = 20,
    checkpoint: str = "latest",
    seed: int = 0,
) -> Features:
    """Activations of the discriminator, each layer's pooled to at most 4 x 4, and a linear probe on them.

    The probe is fitted on `labels_per_class` training samples of each class and scored on the held-out ones; beside it
    stand the same probe on the pixels and on a discriminator that was never trained.

    Raises:
        GansmithError: a recipe without a discriminator, data of another shape, or a class with too few samples.

    Source: Radford et al. 2016, arXiv:1511.06434, section 5.1 (max pooling to 4 x 4; a linear SVM there).
    """
    gan = load(run, checkpoint=checkpoint, raw=True)
    if not isinstance(gan.recipe, Discriminates):
        raise GansmithError(f"{run}: {type(gan.recipe).__name__} has no discriminator to take features from.")
    if gan.recipe.pack > 1:
        raise GansmithError(
            f"{run} was trained with pack = {gan.recipe.pack}: its D has no features of single samples."
        )
    images = _images(run, data, gan, labels)
    train, held = (np.arange(len(rows)) for rows in (images.train, images.held_out))
    x = images.fetch(train)[0], images.fetch_held_out(held)[0]
    told = tuple(activations(gan.recipe, gan.nets, part) for part in x)
    y = None
    probes: dict[str, probe.Accuracy] = {}
    if "y" in images.spec.fields and len(images.spec.classes) > 1 and len(held):
        y = images.fetch(train, ("y",))[0], images.fetch_held_out(held, ("y",))[0]
        few = torch.from_numpy(few_of_each(images, labels_per_class, seed))
        untrained = _untrained(gan)
        ways = {
            "D": (told[0][few], told[1]),
            "untrained D": tuple(activations(gan.recipe, untrained, part) for part in (x[0][few], x[1])),
            "pixels": (x[0][few].flatten(1), x[1].flatten(1)),
        }
        for name, (a, b) in ways.items():
            probes[name] = probe.accuracy(probe.fit(a, y[0][few], len(images.spec.classes)), b, y[1])
    return Features(
        torch.cat(told).numpy(),
        None if y is None else torch.cat(y).numpy(),
        np.repeat([False, True], [len(train), len(held)]),
        images.spec.classes,
        probes,
        labels_per_class,
    )


def _untrained(gan: GAN) -> Nets:
    """The model's nets as they would be before any training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED)
        nets = helpers.assemble(gan.recipe, gan.spec)
    return nets.eval().requires_grad_(False)


def save_features(found: Features, out: Path) -> None:
    """Write the arrays x, y (where there are labels), held_out and classes to a .npz file."""
    if out.suffix.lower() != ".npz":
        raise GansmithError(f"{out}: features go to a .npz file.")
    arrays: dict[str, Any] = {"x": found.x, "held_out": found.held_out, "classes": np.array(found.classes, np.str_)}
    if found.y is not None:
        arrays["y"] = found.y
    write_file(out, lambda path: np.savez_compressed(path, **arrays))


def save_predictions(told: Predictions, out: Path) -> None:
    """Write name, class and chance of each sample, and its true class where it is known, to a .csv file."""
    if out.suffix.lower() != ".csv":
        raise GansmithError(f"{out}: predictions go to a .csv file.")
    best = told.chances.argmax(1)
    head = ["name", "class", "chance"] + ([] if told.accuracy is None else ["label"])

    def write(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(head)
            for i, name in enumerate(told.names):
                true = [] if told.accuracy is None or told.labels is None else [[*told.classes, ""][told.labels[i]]]
                rows.writerow([name, told.classes[best[i]], f"{told.chances[i, best[i]]:.4f}", *true])

    write_file(out, write)


def activations(recipe: Discriminates, nets: Nets, x: Tensor) -> Tensor:
    """What the hidden layers of D make of samples x (N, ...): (N, F), maps max-pooled to at most 4 x 4."""
    parts = []
    with torch.no_grad():
        for part in torch.split(x, BATCH):
            cond = None
            if isinstance(recipe, Conditioned):
                cond = recipe.conditions(part, None)
            with _inputs(nets[recipe.critic]) as caught:
                recipe.logits(nets, part, cond)
            hidden: list[Tensor] = []
            for h in (h for h in caught if not _given(h, part, cond)):
                if not any(torch.equal(h.flatten(1), other.flatten(1)) for other in hidden):  # several heads read one
                    hidden.append(h)
            parts.append(torch.cat([_pooled(h) for h in hidden], 1))
    return torch.cat(parts)


def _given(h: Tensor, x: Tensor, cond: Tensor | None) -> bool:
    """Whether what goes into a layer is no activation but the sample, perhaps smaller or with its label beside it, or
    the label."""
    extra = (0,) if cond is None else (0, cond.shape[1])
    if h.ndim == 2 and cond is not None and h.shape == cond.shape:
        return True
    sizes = {(x.shape[1] + k) * (1 if h.ndim == x.ndim else x[0, 0].numel()) for k in extra}
    return h.shape[1] in sizes


def _pooled(h: Tensor) -> Tensor:
    if h.ndim == 4 and min(h.shape[2:]) > GRID:
        h = F.adaptive_max_pool2d(h, GRID)
    return h.float().flatten(1)


@contextmanager
def _inputs(net: nn.Module) -> Iterator[list[Tensor]]:
    """What goes into each layer with weights, in the order of their calls."""
    caught: list[Tensor] = []
    layers = helpers.weighted(net)
    handles = [m.register_forward_pre_hook(lambda _, given: caught.append(given[0])) for m in layers]
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()


def _images(run: str | Path, data: Any, gan: GAN, labels: Choice) -> Images:
    """The data as the model knows them: its resolution and channels; labels as the run's, or as chosen."""
    config = RunDir.open(run).read_config()
    if gan.spec.kind != "image":
        raise GansmithError(f"{run} was trained on points; this is for images.")
    source = data if data is not None else config["data"]["source"]
    if source is None:
        raise GansmithError(f"{run} was trained on an array: give the data again.")
    c, side, _ = gan.spec.shape
    options = config["data"]["options"] | {"resolution": side, "channels": c}
    if data is not None or labels is not None:
        options |= {"labels": labels or False}
    images = open_data(source, **options)
    if not isinstance(images, Images):
        raise GansmithError(f"{images.spec.name} holds {images.spec.kind}; {run} was trained on single images.")
    return images
