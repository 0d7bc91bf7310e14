"""Checks a study file against the registries of datasets, encoders, metrics and losses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysweep.data.views import PairedViews
from raysweep.salvage import salvage
from raysweep.spec import DataGrid
from raysweep.study_yaml import Fault, Location
from raysweep.vocabulary.data import (
    check_block,
    check_combinations,
    check_loading,
    check_pairs,
    check_population,
    check_several,
    smallest_splits,
)
from raysweep.vocabulary.encoders import check_encoder
from raysweep.vocabulary.evaluation import (
    check_calibration,
    check_metrics,
    check_objective,
)
from raysweep.vocabulary.losses import check_loss
from raysweep.vocabulary.parts import pairs_of
from raysweep.vocabulary.rows import BlockRows, check_rows, written_rows


def check(raw: Mapping[str, Any], folder: Path) -> list[Fault]:
    """All faults of a raw study that only the registries can tell.

    Every combination of a data block's axes is checked against the dataset's rules, and one cell of
    it loaded, so that a file that cannot be used is found here.

    Args:
        raw: the study as read from YAML; it may be malformed elsewhere.
        folder: what relative paths are relative to.
    """
    faults: list[Fault] = []
    blocks = raw.get("data")
    sizes: list[BlockRows] = []
    inputs: list[tuple[int, ...]] = []
    for index, block in enumerate(blocks if isinstance(blocks, list) else [blocks]):
        if not isinstance(block, Mapping):
            continue
        at: Location = ("data", index)
        found = check_block(block, at, folder)
        rows = [written_rows(block)]
        if not found and isinstance(block.get("dataset"), str):
            # Faulty draws, which the specification tells, are no reason not to check the rest.
            sound = salvage(DataGrid, block).value
            found = check_combinations(sound, at)
            if raw.get("kind") == "emergence":
                found += check_pairs(block, at)
            loaded: list[PairedViews] = []
            if not found:
                found, loaded = check_loading(sound, at, folder)
            rows = smallest_splits(sound, loaded) or rows
            faults += check_population(raw.get("verdict"), sound)
            faults += check_several(raw, loaded)
            inputs += [tuple(x.shape[1] for x in view.inputs) for view in loaded]
        sizes += [BlockRows(at, known) for known in rows]
        faults += found
    widths = pairs_of(raw, "width")
    faults += check_metrics(raw.get("evaluation"), widths)
    faults += check_calibration(raw.get("evaluation"))
    faults += check_encoder(raw, inputs)
    if raw.get("kind") != "emergence":
        faults += check_loss(raw.get("alignment"), raw.get("search"), widths)
        faults += check_objective(raw.get("search"), raw.get("evaluation"))
    return faults + check_rows(raw, sizes)
