"""Score a trained run, or any folder of images: realistic, diverse, new, and how sure?

Writes evaluation.json and report.html into the run directory (for --samples: into evaluation-NAME).
What is not set is chosen from the data and printed with its reason. An evaluation that was killed goes on
from the features that it had computed.

Examples:
  gansmith evaluate runs/00000-r3gan-digits
  gansmith evaluate runs/00000-r3gan-digits --checkpoint best -n 10k
  gansmith evaluate runs/00000-r3gan-photos --extractor inception_2015 -n 50k --n-real 50k
  gansmith evaluate --samples fakes/ --against ~/photos
  gansmith evaluate --samples fakes.npz --against digits --out scores
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from gansmith.cli.parse import flags, parse_groups, split_word
from gansmith.errors import GansmithError


@dataclass
class Args:
    """Flags of evaluate.

    Args:
        samples: instead of a run: a folder of images, an archive or an array file.
        against: the real data; by default those of the run. Needed with --samples.
        n: generated samples; by default as many as real ones can stand in for, at most 10,000.
        n_real: real samples that they are compared with; by default as many.
        extractor: of the features; auto, judge, efficientnet_lite0, pixels, inception_2015, dinov2_vits14,
            dinov2_vitb14, dinov2_vitl14, clip_vitl14_336, clip_vitb32.
        weights: file or folder with the extractor's weights; by default the usual places.
        checkpoint: of the run; latest, best, or the name of a folder under checkpoints/.
        raw: the generator as trained, not its average.
        seed: of latents, subsets and projections.
        resolution: side in pixels that samples and data are brought to, when they differ (--samples).
        channels: 1 for grey, 3 for colour, when samples and data differ (--samples).
        device: cpu, cuda or mps.
        out: folder for the results; by default the run directory.
        quiet: print nothing but errors.
    """

    samples: str | None = None
    against: str | None = None
    n: int | None = None
    n_real: int | None = None
    extractor: str = "auto"
    weights: str | None = None
    checkpoint: str = "latest"
    raw: bool = False
    seed: int = 0
    resolution: int | None = None
    channels: int | None = None
    device: str = "cpu"
    out: str | None = None
    quiet: bool = False


def run(argv: list[str]) -> int:
    common = flags(Args)
    name, rest = split_word(argv, common)
    args = Args(**parse_groups({"": common}, rest, __name__, "evaluate RUN"))
    if name is None and args.samples is None:
        raise GansmithError(
            "evaluate needs a run directory, as gansmith evaluate runs/00000-r3gan-digits, or --samples FOLDER "
            "--against DATA."
        )
    from gansmith import scoring

    scoring.evaluate(name, **asdict(args))
    return 0
