"""Images drawn per second from a DCGAN of 64 px: gansmith's sampler against the plain network in evaluation mode.

The plain one holds the same weights as float32 NCHW convolutions with BatchNorm. Without --run the network is fresh:
its running statistics are taken from 512 latents and its output is scaled to a standard deviation of 1 before tanh,
so that its images span the range as a trained network's do. What bf16 does to a trained network shows with --run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import _plain
import numpy as np
import torch
from _common import arguments, interleave, p10, parse, report, speedup, table, verdict
from torch import Tensor, nn

import gansmith
from gansmith.core import DataSpec
from gansmith.engine.devices import choose_precision
from gansmith.engine.pictures import to_uint8
from gansmith.zoo.dcgan import DCGAN

BATCH = 64
PRECISIONS = ("32", "auto")


def fresh(width: int) -> gansmith.GAN:
    """An untrained DCGAN for 64 px whose activations are scaled as a trained one's."""
    spec = DataSpec(name="noise", kind="image", shape=(3, 64, 64))
    recipe = DCGAN(width=width)
    nets = recipe.build(spec)
    G = nets["G"]
    norms = [m for m in G.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain average over all batches
    outputs: list[Tensor] = []
    hook = G.out.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    with torch.no_grad():
        for z in recipe.draw_latents(512).split(BATCH):
            G(z)
        G.out.weight.div_(torch.cat(outputs).std())
    hook.remove()
    return gansmith.GAN(recipe, spec, nets.eval().requires_grad_(False), seen=0)


def plain(gan: gansmith.GAN) -> nn.Module:
    """The same generator as a plain network: same weights, in the same order."""
    net = _plain.generator(gan.recipe.z_dim, gan.spec.shape[0], gan.recipe.width)
    weights = gan.nets["G"].state_dict().values()
    net.load_state_dict({k: v.contiguous() for k, v in zip(net.state_dict(), weights, strict=True)})
    return net.eval()


def draw(net: nn.Module, z: Tensor) -> Tensor:
    """Images as a tutorial draws them, in batches."""
    with torch.no_grad():
        return torch.cat([net(part[:, :, None, None]) for part in z.split(BATCH)])


def difference(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Largest and mean absolute difference of two sets of images, in levels of 256."""
    gap = np.abs(a.astype(int) - b)
    return {"max": int(gap.max()), "mean": float(gap.mean())}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = arguments("sampling", __doc__ or "", repeats=20)
    parser.add_argument(
        "--run", type=Path, help="directory of a dcgan run at 64 px to draw from, instead of a fresh one"
    )
    args = parse(parser, argv)
    n, width = (16, 8) if args.quick else (512, 64)
    gan = gansmith.load(args.run) if args.run else fresh(width)
    if not isinstance(gan.recipe, DCGAN) or gan.spec.shape[1:] != (64, 64) or gan.recipe.norm_g != "batch":
        parser.error("--run: give a dcgan run at 64 px with BatchNorm in G")
    net = plain(gan)
    chosen = {p: choose_precision(p, "cpu", images=True)[0] for p in PRECISIONS}
    gans = {p: gansmith.GAN(gan.recipe, gan.spec, gan.nets, gan.seen, chosen[p]) for p in PRECISIONS}
    variants: dict[str, Callable[[], Tensor]] = {"eager": lambda: draw(net, gan.draw_latents(n))}
    variants |= {f"gansmith {p}": lambda g=g: g.sample(n, batch=BATCH) for p, g in gans.items()}
    pixels = {name: to_uint8(call()) for name, call in variants.items()}
    seconds = interleave(variants, args.repeats)

    ratio = {name: speedup(seconds["eager"], seconds[name]) for name in variants}
    rate = {name: n / p10(values) for name, values in seconds.items()}
    gaps = {name: difference(pixels["eager"], pixels[name]) for name in variants}
    rows = [[k, rate[k], ratio[k]["p10"], gaps[k]["max"], gaps[k]["mean"]] for k in variants]
    table(["sampler", "images/s", "x eager", "largest gap (of 256)", "mean gap"], rows)
    print(f"auto is {chosen['auto']} here; the images' standard deviation is {pixels['eager'].std():.0f} levels.")
    verdicts = [verdict("gansmith auto, times faster than eager", ratio["gansmith auto"]["p10"], at_least=3.0)]
    settings = {"images": n, "batch": BATCH, "width": gan.recipe.width, "precision": chosen, "trained": bool(args.run)}
    figures = {"images_per_s": rate, "speedup": ratio, "difference": gaps, "std": float(pixels["eager"].std())}
    return report(args, settings, seconds, figures, verdicts)


if __name__ == "__main__":
    main()
