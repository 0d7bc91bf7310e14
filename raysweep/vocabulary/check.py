"""Checks a study file against the registries of datasets, metrics and losses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysweep.data.views import PairedViews
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
from raysweep.vocabulary.evaluation import (
    check_calibration,
    check_metrics,
    check_objective,
    check_rows,
)
from raysweep.vocabulary.losses import check_loss
from raysweep.vocabulary.parts import widths_of


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
    sizes: list[dict[str, int]] = []
    for index, block in enumerate(blocks if isinstance(blocks, list) else [blocks]):
        if not isinstance(block, Mapping):
            continue
        at: Location = ("data", index)
        found = check_block(block, at, folder)
        if not found and isinstance(block.get("dataset"), str):
            found = check_combinations(block, at)
            if raw.get("kind") == "emergence":
                found += check_pairs(block, at)
            loaded: list[PairedViews] = []
            if not found:
                found, loaded = check_loading(block, at, folder)
            sizes += smallest_splits(block, loaded)
            faults += check_population(raw.get("verdict"), block)
            faults += check_several(raw, loaded)
        faults += found
    faults += check_metrics(raw.get("evaluation"), widths_of(raw))
    faults += check_calibration(raw.get("evaluation"))
    if raw.get("kind") != "emergence":
        faults += check_loss(raw.get("alignment"), raw.get("search"), widths_of(raw))
        faults += check_objective(raw.get("search"), raw.get("evaluation"))
    if sizes:
        smallest = {split: min(s[split] for s in sizes) for split in sizes[0]}
        faults += check_rows(raw, smallest)
    return faults
