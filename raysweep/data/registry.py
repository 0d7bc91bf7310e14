"""The datasets by name, and the one way to load them."""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from raysweep.data.arrays import PARAMETERS as ARRAYS_PARAMETERS
from raysweep.data.arrays import arrays
from raysweep.data.channels import PARAMETERS as CHANNELS_PARAMETERS
from raysweep.data.channels import RULES as CHANNELS_RULES
from raysweep.data.channels import channels
from raysweep.data.combinations import Rule
from raysweep.data.digits import PARAMETERS as DIGITS_PARAMETERS
from raysweep.data.digits import RULES as DIGITS_RULES
from raysweep.data.digits import digits
from raysweep.data.kept_estimates import estimated_information
from raysweep.data.resplits import draws_for
from raysweep.data.synthetic import JOINTLY as SYNTHETIC_JOINTLY
from raysweep.data.synthetic import LISTED as SYNTHETIC_LISTED
from raysweep.data.synthetic import PARAMETERS as SYNTHETIC_PARAMETERS
from raysweep.data.synthetic import RULES as SYNTHETIC_RULES
from raysweep.data.synthetic import synthetic
from raysweep.data.transforms import PARAMETERS as TRANSFORM_PARAMETERS
from raysweep.data.views import Information, Views
from raysweep.errors import InputError
from raysweep.plugins.options import Option, Value, resolve
from raysweep.study.files import file_stamp

HETEROGENEITY = tuple(parameter.name for parameter in TRANSFORM_PARAMETERS)


@dataclass(frozen=True)
class Dataset:
    """A dataset by its name: how to load it, what it is, which parameters it takes.

    ``heterogeneity`` names those that change how the modalities encode the rows, not the rows: an
    emergence study trains a modality that they leave as it is once for all their values.
    ``rules`` say which parameters go together, ``listed`` what the inputs can be listed with (None:
    never), ``jointly`` what all modalities together can; all say so without drawing a row, and the
    loader holds to them. ``exact`` says that the distribution is known, so that ``information`` of
    two modalities is never estimated. ``own`` says that its rows are the user's.
    """

    name: str
    loader: Callable[..., Views]
    description: str
    parameters: tuple[Option, ...]
    heterogeneity: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    listed: tuple[Rule, ...] | None = None
    jointly: tuple[Rule, ...] = ()
    exact: bool = False
    own: bool = False

    def check(self, given: Mapping[str, object]) -> dict[str, Value]:
        """All parameters, checked and with defaults filled in.

        Raises:
            InputError: lists every unknown, missing and invalid parameter at once.
        """
        return resolve(self.parameters, given, f"dataset {self.name}", "parameter")


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "synthetic",
            synthetic,
            "8 bits in all views, 4 in each alone, a label of 8 of them (the paper's generator)",
            SYNTHETIC_PARAMETERS,
            HETEROGENEITY,
            SYNTHETIC_RULES,
            SYNTHETIC_LISTED,
            SYNTHETIC_JOINTLY,
            exact=True,
        ),
        Dataset(
            "channels",
            channels,
            "a label of four sub-labels: redundancy, uniqueness and synergy set directly",
            CHANNELS_PARAMETERS,
            HETEROGENEITY,
            CHANNELS_RULES,
            listed=(),
            exact=True,
        ),
        Dataset(
            "digits",
            digits,
            "handwritten digits, the left and the right columns of each image",
            DIGITS_PARAMETERS,
            rules=DIGITS_RULES,
        ),
        Dataset(
            "arrays",
            arrays,
            "your own two to four modalities and labels, from a file",
            ARRAYS_PARAMETERS,
            own=True,
        ),
    )
}


Asked = tuple[str, tuple[tuple[str, Value], ...], int, tuple[int, ...] | None]
"""What is loaded: a dataset, all its parameters, a draw, and the state of its file."""

_together: dict[Asked, Views] = {}


def find_dataset(name: str) -> Dataset:
    """The dataset of this name.

    Raises:
        InputError: there is none; lists those there are.
    """
    if name not in DATASETS:
        raise InputError(f"no dataset {name!r}, valid are {', '.join(sorted(DATASETS))}")
    return DATASETS[name]


def load(dataset: str, parameters: Mapping[str, object], draw: int = 0) -> Views:
    """One draw of a dataset: a pure function of its arguments, the last few kept in memory.

    Args:
        dataset: a name in DATASETS.
        parameters: of the dataset; those left out take their defaults.
        draw: 0 is the published draw where there is one; others are independent of it.

    Raises:
        InputError: no such dataset, an invalid parameter, a negative draw, or an unusable file.
    """
    return _load(_asked(dataset, parameters, draw))


def load_together(wanted: Iterable[tuple[str, Mapping[str, object], int]]) -> list[Views]:
    """Datasets that are used together, however many, each loaded once.

    Args:
        wanted: the arguments of `load` for each of them.

    Returns:
        Their draws in that order; all are kept in memory until the next call.

    Raises:
        InputError: as `load`.
    """
    asked = [_asked(*arguments) for arguments in wanted]
    # Before anything is loaded: what is not wanted any more makes room.
    for key in _together.keys() - set(asked):
        del _together[key]
    for key in asked:
        if key not in _together:
            _together[key] = _load(key)
    return [_together[key] for key in asked]


def default_draws(
    dataset: str, parameters: Mapping[str, object], taken: Collection[int] = ()
) -> tuple[int, ...]:
    """The draws of a study that has a verdict and gives none: the first, or several splits.

    Rows that are given once are split several times (`raysweep.data.resplits.draws_for`): a verdict
    from one split is about the few rows that it happens to test.

    Args:
        dataset: a name in DATASETS.
        parameters: as `load`.
        taken: draws that serve for something else.

    Raises:
        InputError: as `load`.
    """
    if not find_dataset(dataset).own:
        return (0,)
    first = load(dataset, parameters)
    if not first.resplit:
        return (0,)
    free = (draw for draw in itertools.count() if draw not in taken)
    tested = first.splits.test if first.groups is None else first.groups[first.splits.test]
    return tuple(itertools.islice(free, draws_for(len(np.unique(tested)))))


def load_estimate(dataset: str, parameters: Mapping[str, object], draw: int = 0) -> Information:
    """Estimated information of a dataset (``estimate.estimate_information``), kept.

    For datasets whose ``load(...).information`` is None; takes seconds, unless it was made before
    (`raysweep.data.kept_estimates`).

    Raises:
        InputError: as ``load``, or too few rows to estimate from.
    """
    asked = _asked(dataset, parameters, draw)
    if draw and find_dataset(dataset).own:
        # The rows of all its draws are the same, and so is what they tell.
        asked = _asked(dataset, parameters, 0)
    return _estimate(asked)


def _asked(dataset: str, parameters: Mapping[str, object], draw: int) -> Asked:
    values = find_dataset(dataset).check(parameters)
    if isinstance(draw, bool) or not isinstance(draw, int) or draw < 0:
        raise InputError(f"dataset {dataset}: draw is {draw!r}, expected an integer >= 0")
    path = values.get("path")
    stamp = file_stamp(path) if isinstance(path, str) else None
    return dataset, tuple(sorted(values.items())), draw, stamp


@lru_cache(maxsize=1000)
def _estimate(asked: Asked) -> Information:
    return estimated_information(_together.get(asked) or _load(asked))


@lru_cache(maxsize=8)
def _load(asked: Asked) -> Views:
    dataset, values, draw, _ = asked
    return DATASETS[dataset].loader(**dict(values), draw=draw)
