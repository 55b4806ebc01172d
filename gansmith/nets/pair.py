"""A generator and a discriminator that fit the data, by name."""

from __future__ import annotations

from torch import nn

from gansmith.errors import GansmithError, did_you_mean
from gansmith.nets import dcgan, mlp

NETS = ("auto", "mlp", "dcgan")
_NORMS = {"G": ("auto", "batch", "none"), "D": ("auto", "batch", "layer", "none")}


def pair(
    net: str,
    shape: tuple[int, ...],
    *,
    z_dim: int,
    width: int = 64,
    norm_g: str = "auto",
    norm_d: str = "auto",
) -> tuple[nn.Module, nn.Module]:
    """(G, D) for samples of that shape.

    Args:
        net: "mlp" (three hidden layers), "dcgan" (images only), or "auto": mlp for points (D,), dcgan for images.
        shape: of one sample, (D,) or (C, H, W).
        z_dim: size of the latent.
        width: of each hidden layer of an mlp; of a dcgan, channels at half the resolution (its smallest layer).
        norm_g: "batch" or "none"; "auto" is batch in dcgan, none in mlp.
        norm_d: as norm_g, or "layer"; under a per-sample gradient penalty give "none" or "layer".

    Raises:
        GansmithError: unknown net or norm, or a shape that the net cannot make.

    >>> G, D = pair("auto", (2,), z_dim=2)
    >>> type(G).__module__, sum(p.numel() for p in G.parameters())              # 2-64-64-64-2 with biases
    ('gansmith.nets.mlp', 8642)
    """
    _one_of("net", net, NETS)
    _one_of("norm_g", norm_g, _NORMS["G"])
    _one_of("norm_d", norm_d, _NORMS["D"])
    if net == "dcgan" or (net == "auto" and len(shape) == 3):
        return (
            dcgan.Generator(z_dim, shape, width, "batch" if norm_g == "auto" else norm_g),
            dcgan.Discriminator(shape, width, "batch" if norm_d == "auto" else norm_d),
        )
    hidden = (width,) * 3
    return (
        mlp.Generator(z_dim, shape, hidden, "none" if norm_g == "auto" else norm_g),
        mlp.Discriminator(shape, hidden, "none" if norm_d == "auto" else norm_d),
    )


def _one_of(field: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise GansmithError(f'{field} = "{value}" is not known: use {", ".join(valid)}.{did_you_mean(value, valid)}')
