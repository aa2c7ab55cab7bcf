"""Made patients in numbers, and what these numbers do to the uptake of FDG.

Nothing here was measured on anyone: ages, weights and lab values are drawn, and the relations are
simple forms of published ones. What is drawn from them is called made wherever it is told.
"""

from dataclasses import dataclass

import numpy as np

USUAL_GLUCOSE = 100.0
"""Blood glucose in mg/dl to which uptake is corrected."""
USUAL_PER_LEAN = 1.4
"""Weight by lean mass of an average adult."""
MALE, FEMALE = 1.0, 0.0
UNTOLD = 0.1
"""Chance that a fact of a made patient is not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One made adult: years, sex, kg, m, glucose in mg/dl, C-reactive protein in mg/l."""

    age: float
    sex: float
    weight: float
    size: float
    glucose: float
    crp: float

    @property
    def lean_kg(self) -> float:
        """Lean mass after Janmahasatian et al., Clin Pharmacokinet 44, 2005: 1051-1065."""
        index = self.weight / self.size**2
        base, slope = (6680.0, 216.0) if self.sex == MALE else (8780.0, 244.0)
        return 9270.0 * self.weight / (base + slope * index)

    @property
    def per_lean(self) -> float:
        """How much higher SUV by body weight is than by lean mass, 1 for an average adult.

        Fat takes up little, so that in a heavy patient all else seems to take up more.
        """
        return self.weight / self.lean_kg / USUAL_PER_LEAN

    def competed(self, power: float = 1.0) -> float:
        """Return the part of FDG that is taken up beside the glucose of the blood, 1 at 100 mg/dl.

        The usual correction multiplies by glucose / 100 mg/dl (Wahl et al., PERCIST, J Nucl Med
        50, 2009: 122S-150S); this is its inverse.
        """
        return float((USUAL_GLUCOSE / self.glucose) ** power)


def drawn_body(random: np.random.Generator, *, older: float = 0.0, inflamed: bool = False) -> Body:
    """Return an adult at random, `older` years older than usual; `inflamed` raises the protein."""
    sex = random.choice([FEMALE, MALE])
    size = random.normal(1.77 if sex == MALE else 1.64, 0.065)
    index = float(np.clip(26.5 * np.exp(random.normal(0, 0.18)), 17, 48))
    return Body(
        age=float(np.clip(random.normal(60 + older, 13), 20, 95)),
        sex=float(sex),
        weight=index * size**2,
        size=float(size),
        glucose=float(np.clip(112 * np.exp(random.normal(0, 0.28)), 60, 300)),
        crp=float(np.clip((25 if inflamed else 4) * np.exp(random.normal(0, 0.9)), 0.3, 300)),
    )


def drawn_told(body: Body, random: np.random.Generator) -> dict[str, float | None]:
    """Return what is told of a body: a tenth of it is not."""
    names = ("age", "sex", "weight", "size", "glucose", "crp")
    return {
        name: None if random.uniform() < UNTOLD else round(float(getattr(body, name)), 2)
        for name in names
    }
