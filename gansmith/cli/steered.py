"""What the verbs that steer a model have in common: the flags that open it, and where the picture or film goes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gansmith.cli.sample import assigned

if TYPE_CHECKING:
    from gansmith.explore.film import Film
    from gansmith.explore.sheet import Sheet
    from gansmith.explore.space import Space

FILMS = (".mp4", ".gif", ".webp")


@dataclass
class Steered:
    """Flags of every verb that steers a model.

    Args:
        run: the run directory.
        out: where it goes, .png for a still picture; by default a file in the run directory, named as the verb.
        space: z (latents) or w (styles); by default w where the model has styles.
        psi: truncation: 1 = none, smaller = nearer to the mean, better and less varied.
        label: the class of the points that come from seeds, by its name or number.
        code: codes of such points, as c1=4,c2=-0.5.
        checkpoint: latest, best, or the name of a folder under checkpoints/.
        raw: the generator as trained, not its average.
        device: cpu, cuda or mps.
    """

    run: str
    out: str | None = None
    space: Literal["z", "w"] | None = None
    psi: float = 1.0
    label: str | None = None
    code: str | None = None
    checkpoint: str = "latest"
    raw: bool = False
    device: str = "cpu"

    @property
    def codes(self) -> dict[str, Any]:
        """What is set in the latents of seeds."""
        return assigned(self.code) | ({} if self.label is None else {"label": self.label})


@dataclass
class Filmed(Steered):
    """Flags of the verbs that can make a film.

    Args:
        out: where it goes; the suffix says what it becomes: .mp4, .gif or .webp for a film, .png for a still picture.
            By default a file in the run directory, named as the verb.
        fps: frames a second of a film.
    """

    fps: float = 25.0


def opened(args: Steered) -> Space:
    """The model's space."""
    from gansmith import api
    from gansmith.explore.space import Space

    gan = api.load(args.run, checkpoint=args.checkpoint, raw=args.raw, device=args.device)
    return Space(gan, args.space, args.psi)


def target(args: Steered, default: str, suffixes: tuple[str, ...] = (*FILMS, ".png")) -> Path:
    """Where the result goes, refused before the work when it cannot go there.

    Args:
        default: the file's name in the run directory when --out does not say.
    """
    from gansmith.explore.files import check_path

    return check_path(Path(args.out or Path(args.run) / default).expanduser(), suffixes)


def told(verb: str, argv: list[str]) -> str:
    """The command, as it is typed."""
    return shlex.join(["gansmith", verb, *argv])


def written(shown: Film | Sheet, path: Path, args: Steered, verb: str, argv: list[str]) -> int:
    """Save it with the command in its metadata, and say where it is; gives the exit code."""
    from gansmith.explore.film import Film

    shown = replace(shown, told=told(verb, argv))
    if isinstance(shown, Film):
        shown = replace(shown, fps=args.fps if isinstance(args, Filmed) else shown.fps)
        print(f"{len(shown.frames)} frames in {shown.save(path)}")
    else:
        print(f"{len(shown.images)} images in {shown.save(path)}")
    return 0
