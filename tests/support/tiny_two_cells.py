"""A study so small that all of it trains in about a second: two cells, as text and resolved."""

from collections.abc import Callable
from pathlib import Path

from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.study import checks
from raysweep.study.reader import parse_study

TINY = """
name: tiny
data:
  dataset: synthetic
  U: [2, 6]
  train: 64
  validation: 32
  test: 32
model: {depth: 1, width: 8}
training: {epochs: 2, batch_size: 16, dtype: float64}
evaluation: {metrics: {unbiased_cka: {}, mutual_knn: {topk: 5}}}
search: {trials: 3, generation: 2, seeds: 1}
confirm: {seeds: 2}
"""

StudyFactory = Callable[..., Study]


def tiny(*overrides: str) -> Study:
    """The tiny study, checked and resolved, with overrides such as ``search.trials=8``.

    Two synthetic cells (U 2 and 6), 64 training rows, 2 epochs in float64, 3 strengths in
    generations of 2, 1 search seed, 2 confirm seeds.
    """
    return parse_study(TINY, "tiny", Path.cwd(), overrides, checks.check, checks.resolve_files)
