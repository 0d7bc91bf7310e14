"""Tests that look at their units several times, and may stop at any of the looks.

The error rate is spent look by look (Lan and DeMets, 1983): of a level a, the share a * t has been
spent when the fraction t of all planned units is there (Kim and DeMets, 1987, with power 1), so
that a look's level is the one at which a t statistic that crossed no earlier bound crosses this one
with the rest. Bounds of normal statistics err with few units (at level .05 / 120, four units to
sixteen, a fifth too often), so those of t statistics are found themselves: seen one after the other
they are a Markov chain, and whatever the units' spread their law is the same.

With units x of a bell curve around 0 let u = sum(x) / (sqrt(n) |x|), a function of t. One more unit
makes up a share sin(phi) of the length, with sqrt(n) tan(phi) of Student's t with n degrees of
freedom, independent of u, and the next u is (sqrt(n) u cos(phi) + sin(phi)) / sqrt(n + 1).
"""

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from raysweep.errors import InputError

Floats = NDArray[np.float64]

FEWEST = 3
"""Units at the first look: of two, no t is beyond chance."""
_EDGES = np.linspace(-6.5, 7.5, 351)
"""Of cells of t statistics, as normal ones of the same tail."""
_LEVELS = np.geomspace(1e-10, 0.5, 49)
"""One-sided levels for which bounds are found; others lie between them."""


def look_levels(looks: Sequence[int], alpha: float) -> Floats:
    """The level of each look, one-sided, [looks]; all together err with probability ``alpha``.

    Args:
        looks: units that are there at each look, rising, the first 3 or more.
        alpha: one-sided error rate of all looks together, 1e-10 to .5.

    Raises:
        InputError: looks that do not rise, or begin too early.

    Example:
        >>> look_levels([4, 8, 12], 0.025).round(4).tolist()
        [0.0083, 0.0096, 0.0123]
    """
    table = _table(_checked(looks))
    return np.array([np.exp(np.interp(np.log(alpha), np.log(_LEVELS), row)) for row in table])


def over_looks(p_values: ArrayLike, looks: Sequence[int], look: ArrayLike) -> Floats:
    """One-sided p-values of one look -> of all looks so far, [...].

    The least level of all looks together at which this one would have stopped.

    Args:
        p_values: [...] of a t statistic of the units at its look, one-sided.
        looks: as `look_levels`.
        look: [...] which look it is, from 0.

    Raises:
        InputError: as `look_levels`.
    """
    table = _table(_checked(looks))
    p, at = np.broadcast_arrays(np.asarray(p_values, dtype=float), np.asarray(look))
    found = np.full(p.shape, np.nan)
    for k in np.unique(at):
        here = (at == k) & ~np.isnan(p)
        with np.errstate(divide="ignore"):
            given = np.log(p[here])
        level = np.exp(np.interp(given, table[k], np.log(_LEVELS)))
        found[here] = np.where(given > table[k, -1], 1.0, np.maximum(level, p[here]))
    return found


def _checked(looks: Sequence[int]) -> tuple[int, ...]:
    asked = tuple(int(n) for n in looks)
    if not asked or asked[0] < FEWEST or any(a >= b for a, b in itertools.pairwise(asked)):
        raise InputError(
            f"looks are {list(looks)}; expected rising numbers of units, the first {FEWEST} or more"
        )
    return asked


@lru_cache(maxsize=16)
def _table(looks: tuple[int, ...]) -> Floats:
    """[looks, levels] log of the level of each look for `_LEVELS` of all together."""
    fraction = np.array(looks) / looks[-1]
    spent = np.diff(fraction, prepend=0.0)[:, None] * _LEVELS
    # Chances of each cell, for every level by itself: what has stopped is out.
    mass = np.tile(-np.diff(special.ndtr(-_EDGES)), (len(_LEVELS), 1))
    table = np.empty(spent.shape)
    for k, n in enumerate(looks):
        if k:
            for before in range(looks[k - 1], n):
                mass = -np.diff(mass @ _beyond(before), axis=1)
        for row, wanted in enumerate(spent[k]):
            bound, mass[row] = _cut(mass[row], wanted)
            table[k, row] = special.log_ndtr(-bound)
    return table


def _cut(mass: Floats, wanted: float) -> tuple[float, Floats]:
    """The bound that so much of the mass is beyond, and the mass without that."""
    beyond = np.append(np.cumsum(mass[::-1])[::-1], 0.0)
    with np.errstate(divide="ignore"):
        height = np.log(np.maximum(beyond, 1e-300))
    bound = float(np.interp(-np.log(wanted), -height, _EDGES))
    cell = int(np.searchsorted(_EDGES, bound)) - 1
    left = mass.copy()
    left[cell] = beyond[cell] - wanted
    left[cell + 1 :] = 0.0
    return bound, left


@lru_cache(maxsize=128)
def _beyond(n: int) -> Floats:
    """[cells, edges] the chance that the next t is at an edge or beyond, from each cell of n's."""
    middle = (_EDGES[1:] + _EDGES[:-1]) / 2
    u, edges = _direction(middle, n)[:, None], _direction(_EDGES, n + 1)
    length = np.sqrt(n * u**2 + 1)
    towards = np.arctan2(1.0, np.sqrt(n) * u)
    within = np.arccos(np.clip(edges * np.sqrt(n + 1) / length, -1, 1))
    low, high = towards - within, towards + within
    return np.asarray(_share(high, n) - _share(low, n) + _share(high - 2 * np.pi, n))


def _share(phi: Floats, n: int) -> Floats:
    """The chance of an angle below phi."""
    inside = np.clip(phi, -np.pi / 2, np.pi / 2)
    return np.asarray(special.stdtr(n, np.sqrt(n) * np.tan(inside)))


def _direction(z: Floats, n: int) -> Floats:
    """U of the t statistic of n units whose tail is that of a normal z."""
    t = -special.stdtrit(n - 1, special.ndtr(-np.abs(z))) * np.sign(z)
    return np.asarray(t / np.sqrt(t**2 + n - 1))
