"""Steering a trained generator: walks, arithmetic, truncation, mixing, breeding, directions, inversion; and films.

from gansmith import explore, load

space = explore.Space(load("runs/00000-stylegan2-digits"))
explore.walk(space, explore.find(space, "0-5"), loop=True).save("walk.mp4")
"""

from gansmith.explore.directions import Direction, move, score
from gansmith.explore.encoder import train_encoder
from gansmith.explore.factors import MEASURES, measure
from gansmith.explore.files import read_told
from gansmith.explore.film import Film
from gansmith.explore.finding import from_examples, from_measure, pca, sefa
from gansmith.explore.inversion import invert
from gansmith.explore.mixing import arithmetic, around, mix, steadiest, vary
from gansmith.explore.paths import lerp, slerp
from gansmith.explore.points import find, load, save
from gansmith.explore.reach import calibrated, outside
from gansmith.explore.sheet import Sheet
from gansmith.explore.space import Space
from gansmith.explore.tours import breed, filmed, table, truncate, walk, zoom

__all__ = [
    "MEASURES",
    "Direction",
    "Film",
    "Sheet",
    "Space",
    "arithmetic",
    "around",
    "breed",
    "calibrated",
    "filmed",
    "find",
    "from_examples",
    "from_measure",
    "invert",
    "lerp",
    "load",
    "measure",
    "mix",
    "move",
    "outside",
    "pca",
    "read_told",
    "save",
    "score",
    "sefa",
    "slerp",
    "steadiest",
    "table",
    "train_encoder",
    "truncate",
    "vary",
    "walk",
    "zoom",
]
