"""Features of the models of a study, where they are not there yet."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from raysweep.errors import InputError
from raysweep.features.extract import FeaturesMade, extract_features
from raysweep.kinds.models.study import ModelRow
from raysweep.kinds.models.table import rows_of_table
from raysweep.study.files import resolved_path
from raysweep.study.reader import load_study


def is_study(path: str) -> bool:
    """Whether what was given is a study file, and no model."""
    return path.endswith((".yaml", ".yml")) and Path(path).is_file()


def features_of_study(
    path: str | Path, tell: Callable[[str], None] = lambda line: None, **manner: Any
) -> list[FeaturesMade]:
    """Make the features of all rows of a study of models that have ``weights``.

    What is there by the same recipe is left as it is.

    Args:
        path: the study file.
        tell: given a line when something has got on.
        **manner: of `extract_features`, such as ``pooling`` and ``runner``.

    Returns:
        What has become of each model, folder by folder.

    Raises:
        InputError: the study has faults, has no weights, names a file otherwise than it is made,
            or as `extract_features`.
    """
    folder = Path(path).resolve().parent
    study: Any = load_study(path)
    if getattr(study, "samples", None) is None:
        raise InputError(
            f"{path}: has no samples, a table whose columns models are given; only studies of "
            "kind models have them"
        )
    rows: Sequence[ModelRow] = study.models or ()
    if study.table is not None:
        rows = tuple(
            map(ModelRow.model_validate, rows_of_table(resolved_path(study.table, folder)))
        )
    wanted = [row for row in rows if row.weights is not None]
    if not wanted:
        raise InputError(f"{path}: no model has weights and a column to make features of")
    made: list[FeaturesMade] = []
    table = resolved_path(study.samples.table, folder)
    for weights in dict.fromkeys(row.weights for row in wanted):
        of = [row for row in wanted if row.weights == weights]
        places = {resolved_path(row.features, folder): row for row in of}
        for out in dict.fromkeys(place.parent for place in places):
            columns = [row.column for place, row in places.items() if place.parent == out]
            made += extract_features(
                [_model(str(weights), folder)],
                table,
                out,
                text=[name for name in study.samples.text or () if name in columns],
                image=[name for name in study.samples.image or () if name in columns],
                tell=tell,
                **manner,
            )
        written = {file for one in made for file in one.files}
        for place, row in places.items():
            if place not in written and not any(one.failure for one in made):
                names = ", ".join(sorted(file.name for file in written))
                raise InputError(f"{row.place}: features {place.name}; the files are {names}")
    return made


def _model(weights: str, folder: Path) -> str:
    """A folder or file beside the study, or what else names a model."""
    beside = folder / Path(weights).expanduser()
    return str(beside) if beside.exists() else weights
