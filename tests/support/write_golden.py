"""Writes the golden files, when a change is meant: python tests/support/write_golden.py."""

import json
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"
CELLS = GOLDEN / "cells.json"
BROKEN_STUDY = GOLDEN / "broken.yaml"
BROKEN_MESSAGE = GOLDEN / "broken.txt"
SCHEMA = GOLDEN / "schema.txt"


def bundled_cells() -> dict[str, dict[str, str]]:
    """Bundled study -> cell id -> label; of large studies some 20 cells."""
    from raysweep.study import checks
    from raysweep.study.bundled import bundled_studies, find_study
    from raysweep.study.cells import expand, varying
    from raysweep.study.reader import load_study

    found = {}
    for name in bundled_studies():
        study = load_study(find_study(name), (), checks.check, checks.resolve_files)
        labels = list(varying(expand(study)).items())
        found[name] = dict(labels[:: max(1, len(labels) // 20)])
    return found


def broken_message() -> str:
    """What is said about the broken study; the names in registries, which grow, left out."""
    from raysweep.data.registry import DATASETS
    from raysweep.errors import InputError
    from raysweep.losses import LOSSES
    from raysweep.metrics import REGISTRY
    from raysweep.study import checks
    from raysweep.study.reader import load_study

    try:
        load_study(BROKEN_STUDY, (), checks.check)
    except InputError as error:
        message = str(error).replace(str(GOLDEN), "<folder>")
    for name, registry in (("datasets", DATASETS), ("metrics", REGISTRY), ("losses", LOSSES)):
        message = message.replace(", ".join(registry), f"<{name}>")
    for dataset in DATASETS.values():
        names = ", ".join(parameter.name for parameter in dataset.parameters)
        if ", " in names:
            message = message.replace(names, f"<characteristics of {dataset.name}>")
    return message + "\n"


def schema_text() -> str:
    """Columns and types of the trial table of a tiny run."""
    import tempfile

    import pyarrow.parquet as pq
    from tiny_two_cells import tiny

    from raysweep.folder.run_folder import RunFolder
    from raysweep.runners import local
    from raysweep.trials.storage import Output
    from raysweep.trials.table import TABLE_NAME

    study = tiny("data.U=[2]", "training.epochs=1", "evaluation.layers=best", "search.trials=1")
    with tempfile.TemporaryDirectory() as folder:
        place = RunFolder(Output(folder))
        place.adopt(study)
        local.run(study, place)
        schema = pq.read_schema(f"{folder}/{TABLE_NAME}")
    return "".join(f"{field.name}: {field.type}\n" for field in schema)


def main() -> None:
    SCHEMA.write_text(schema_text())
    BROKEN_MESSAGE.write_text(broken_message())
    CELLS.write_text(json.dumps(bundled_cells(), indent=2) + "\n")


if __name__ == "__main__":
    main()
