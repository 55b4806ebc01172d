"""The documentation's Python: all of it is valid, and the guide's own GAN is found, trains and learns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from gansmith import recipes
from gansmith.core import DataSpec, Nets
from gansmith.engine.game import Game

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def python_in(page: Path) -> list[str]:
    """The fenced blocks of a page that are marked as Python."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


class Cloud:
    """Points around (2, -1), drawn without end."""

    seen = 0

    def seek(self, seen: int) -> None:
        self.seen = seen

    def __call__(self, n: int) -> torch.Tensor:
        self.seen += n
        return torch.tensor([2.0, -1.0]) + 0.5 * torch.randn(n, 2)


@pytest.mark.parametrize("page", [page for page in PAGES if python_in(page)], ids=lambda page: page.stem)
def test_python_in_pages_is_valid(page: Path) -> None:
    for block in python_in(page):
        compile(block, str(page), "exec")


def test_the_guides_gan_learns(tmp_path: Path) -> None:
    """Untrained its samples lie close to the origin; after 200 rounds they are where the points are, and as wide."""
    file = tmp_path / "mygan.py"
    file.write_text(python_in(ROOT / "docs" / "guides" / "add-a-gan.md")[0], encoding="utf-8")
    recipe = recipes.find(file)()
    spec = DataSpec(name="cloud", kind="points", shape=(2,))
    recipe.check(spec)
    game = Game(recipe, spec, Cloud(), seed=0)
    z = recipe.draw_latents(2000)

    def look() -> tuple[float, float]:
        with torch.no_grad():
            fake = recipe.generate(Nets({**game.ema}), z)
        return (fake.mean(0) - torch.tensor([2.0, -1.0])).norm().item(), fake.std(0).min().item()

    distance, spread = look()
    assert distance > 1.5 and spread < 0.15
    for _ in range(200):
        game.play()
    distance, spread = look()
    assert distance < 0.3 and spread > 0.15
    assert game.clock.seen == 200 * recipe.batch
