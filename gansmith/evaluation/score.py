"""A score: a number that carries how it was made, how sure it is, and what it may be compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, NamedTuple

from gansmith.errors import GansmithError

Z95 = 1.959963984540054
"""Half of a 95 % interval, in standard errors of a normal law."""


class Interval(NamedTuple):
    """A 95 % interval, in the unit of its score."""

    low: float
    high: float


class Estimate(NamedTuple):
    """A value and its standard error, both in the unit of the score."""

    value: float
    error: float

    @property
    def interval(self) -> Interval:
        """value ± 1.96 standard errors.

        >>> Estimate(1.0, 0.5).interval
        Interval(low=0.02, high=1.98)
        """
        return Interval(self.value - Z95 * self.error, self.value + Z95 * self.error)


@dataclass(frozen=True)
class Protocol:
    """Everything on which a score depends besides the samples: only scores with the same protocol are compared.

    Args:
        n_fake: generated samples.
        n_real: real samples.
        extractor: name and version of the features, as "judge 1 3f2a90cc"; "none" for measures on samples.
        resize: the filter that brought the samples to the extractor's size, "none" when they were not resized.
        split: the real samples: "train", "held-out", "all" or "law" (drawn afresh from a known law).
        seed: of subsets, projections and splits.
        data: fingerprint of the real data.
        settings: what else the measure was told: k, splits, subset size, directions.
        code: version of gansmith's evaluation, raised when a change of the code changes a number.
    """

    n_fake: int
    n_real: int
    extractor: str
    resize: str
    split: str
    seed: int
    data: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    code: int = 1

    def differs(self, other: Protocol) -> list[str]:
        """What two protocols differ in, in words; empty when their scores may be compared.

        >>> a = Protocol(5000, 4483, "pixels 1", "none", "train", 0, "d41d")
        >>> a.differs(Protocol(1000, 4483, "pixels 1", "none", "train", 0, "d41d"))
        ['n_fake 5000 against 1000']
        """
        pairs = ((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return [f"{name} {a} against {b}" for name, a, b in pairs if a != b]


@dataclass(frozen=True)
class Score:
    """One measured number.

    Args:
        name: of the measure; FD carries its extractor, as "FD(judge)", and is "FID" for Inception-2015 alone.
        value: in the unit of the measure.
        low, high: ends of the 95 % interval; None where there is none.
        better: which direction is better, or "target" when `ideal` is best.
        ideal: the value of perfect samples, in the limit of many.
        protocol: how it was made.
        how: how the interval was made, as "jackknife over samples".
        real: what real samples that the reference does not hold score in the place of the generated ones, under the
            same protocol; None when not measured.
        warnings: in plain words, what makes the number doubtful.
        seconds: what it cost.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    better: Literal["lower", "higher", "target"]
    ideal: float | None
    protocol: Protocol
    how: str = "none"
    real: float | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def error(self) -> float | None:
        """Standard error that the interval stands for; None without an interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / (2 * Z95)

    def to_json(self) -> dict[str, Any]:
        """As written to evaluation.json; a value that is not finite becomes null."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any], where: str) -> Score:
        """Read back from evaluation.json.

        Args:
            where: the file, for the message.

        Raises:
            GansmithError: a field is missing, unknown or of another kind.
        """
        try:
            values = dict(found)
            values["value"] = math.nan if values["value"] is None else float(values["value"])
            values["protocol"] = Protocol(**values["protocol"])
            return cls(**values | {"warnings": tuple(values["warnings"])})
        except (KeyError, TypeError, ValueError):
            raise GansmithError(f"{where} is damaged or of another version: run gansmith evaluate again.") from None
