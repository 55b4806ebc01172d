"""Features of images by efficientnet_lite0 (or another extractor): the pass that gansmith takes beside passes of 64.

On a CPU a pass of many images has activations larger than what the allocator keeps (32 MiB with glibc), so that each
layer's memory comes from the system and goes back to it; the time is then spent on page faults. On a GPU both variants
are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from _common import arguments, interleave, p10, parse, report, speedup, table, verdict

from gansmith.evaluation.features import find


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = arguments("evaluation_features", __doc__ or "", repeats=5)
    parser.add_argument("--extractor", default="efficientnet_lite0", help="default: %(default)s")
    args = parse(parser, argv)
    look = find(args.extractor)
    size = {"images": 2 if args.quick else 128, "extractor": look.identity, "at_once": look.at_once}
    images = torch.rand(size["images"], 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def large() -> None:
        checked = look.prepare(images)
        with torch.no_grad():
            for part in torch.split(checked, 64):
                look.net(part)

    seconds = interleave({"64 images a pass": large, "gansmith": lambda: look.look(images)}, args.repeats, warmup=1)
    ratio = speedup(seconds["64 images a pass"], seconds["gansmith"])
    table(
        ["variant", "images a second"],
        [[name, size["images"] / p10(values)] for name, values in seconds.items()],
    )
    verdicts = [verdict("times as fast as 64 images a pass", ratio["p10"], at_least=1.0)]
    return report(args, size, seconds, {"speedup": {"gansmith": ratio}}, verdicts)


if __name__ == "__main__":
    main()
