"""The table of models in a study file: what is joined, what is refused, and in which words."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_features
from tiny_features import LEVELS, N, given

import raysweep
from raysweep.study.cells import expand, varying
from raysweep.study.reader import dump_study, load_study

TEXTS, IMAGES = list(tiny_features.FAMILIES), ["vit", "mae"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return tiny_features.write(tmp_path_factory.mktemp("features"))


def faults(study: dict[str, Any]) -> str:
    with pytest.raises(raysweep.InputError) as error:
        _ = raysweep.Study(**study).resolved
    return str(error.value)


def test_models_of_different_sides_go_together_where_their_axes_agree(
    rows: list[dict[str, Any]],
) -> None:
    study = raysweep.Study(**given(rows)).resolved
    found = {
        (p.left.model, p.right.model, p.axes["caption"])
        for p in study.pairs_of_models  # type: ignore[attr-defined]
    }
    assert found == set(itertools.product(TEXTS, IMAGES, LEVELS))
    cells = expand(study)
    assert len({cell.id for cell in cells}) == len(found) == study.trials_at_least()
    assert varying(cells)[cells[0].id] == "models caption=10 model_1=near_small model_2=vit"


def test_sides_without_an_axis_meet_once_and_three_sides_in_pairs(
    rows: list[dict[str, Any]],
) -> None:
    sound = [{**row, "side": "sound"} for row in rows if row["model"] == "vit"]
    study = raysweep.Study(**given([*rows, *sound])).resolved
    pairs = [
        (p.left.side, p.right.side, p.left.model, p.axes)
        for p in study.pairs_of_models  # type: ignore[attr-defined]
    ]
    assert sum(pair[:2] == ("image", "sound") for pair in pairs) == len(IMAGES)
    assert ("image", "sound", "mae", {}) in pairs
    assert len(pairs) == 9 * 3 + 2


def test_a_table_of_models_is_the_same_study_as_their_list(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    study = raysweep.Study(**given(rows)).resolved
    folder = Path(rows[0]["features"]).parent
    plain = [{**row, "features": Path(row["features"]).name} for row in rows]
    table = pd.DataFrame(plain)
    for name, write in (
        ("m.csv", lambda path: table.to_csv(path, index=False)),
        ("m.tsv", lambda path: table.to_csv(path, index=False, sep="\t")),
        ("m.parquet", table.to_parquet),
        ("m.jsonl", lambda path: table.to_json(path, orient="records", lines=True)),
    ):
        write(folder / name)
        other = raysweep.Study(**given([], models=None, table=str(folder / name))).resolved
        assert [c.id for c in expand(other)] == [c.id for c in expand(study)], name
        assert other == study, name
    written = tmp_path / "study.yaml"
    written.write_text(dump_study(study))
    assert load_study(written) == study


def test_other_content_is_another_cell_and_another_place_is_not(tmp_path: Path) -> None:
    first = raysweep.Study(**given(tiny_features.write(tmp_path / "a"))).resolved
    moved = tiny_features.write(tmp_path / "b")
    assert [c.id for c in expand(raysweep.Study(**given(moved)).resolved)] == [
        c.id for c in expand(first)
    ]
    np.save(tmp_path / "b" / "vit.npy", np.ones((N, 1, 3)) * np.arange(N)[:, None, None])
    changed = {c.id for c in expand(raysweep.Study(**given(moved)).resolved)}
    assert len(changed & {c.id for c in expand(first)}) == 9


def test_all_faults_are_told_with_their_places(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", np.ones((N - 1, 2, 3)) * np.arange(N - 1)[:, None, None])
    twice = faults(given([*rows, rows[0], {**rows[1], "famly": "x"}]))
    assert "models.11: text: near_small (caption=10) is there twice" in twice
    assert "models.12.famly: unknown key 'famly'" in twice
    assert "a model has side, model, features, weights, column, family, size" in twice
    alone = faults(given([row for row in rows if row["side"] == "text"]))
    assert "models of one side alone (text)" in alone
    lost = faults(given([*rows[:-1], {**rows[-1], "features": "gone.npy"}], evaluation__layers="a"))
    assert "models.10.features: image: mae" in lost
    assert "no such file" in lost
    assert "choose from best, each, concatenated" in lost
    short = faults(
        given([*rows, {"side": "image", "model": "s", "features": f"{tmp_path}/short.npy"}])
    )
    assert f"text: near_small (caption=10) has {N} rows and image: s has {N - 1}" in short
    metrics = {"mutual_knn": {"topk": N}, "knn": {}, "cca": {"k": 1}}
    measured = faults(given(rows, evaluation__metrics=metrics))
    assert f"topk is {N}, and the features have {N} rows" in measured
    assert "unknown metric 'knn'" in measured
    assert "give the models as a list, or the path of a table" in faults(given(rows, models=None))
    assert "tone is no key of any model" in faults(given(rows, axes=["caption", "tone"]))
    assert "seed is a column of the trial table" in faults(given(rows, axes=["caption", "seed"]))
    assert "a key of studies with kind: forcing" in faults(given(rows, confirm={"seeds": 3}))


def test_faults_of_a_table_name_its_row(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    table = pd.DataFrame(rows)
    study = given([], models=None, table=str(tmp_path / "m.csv"))
    assert "table: " in faults(study)
    assert "cannot be read" in faults(study)
    table.assign(size="large").to_csv(tmp_path / "m.csv", index=False)
    assert "row 1, size: must be a valid number, found 'large'" in faults(study)
    performance = [0.1] * (len(table) - 1) + ["good"]
    table.assign(performance=performance).to_csv(tmp_path / "m.csv", index=False)
    assert faults(study).count("must be a valid number") == 1
    assert f"row {len(table)}, performance: must be a valid number, found 'good'" in faults(study)
    table.to_csv(tmp_path / "m.csv", index=False, encoding="utf-16")
    assert "m.csv: cannot be read (text in UTF-16; save it as CSV UTF-8)" in faults(study)
    table.drop(columns="side").to_csv(tmp_path / "m.csv", index=False)
    assert "row 1: lacks side" in faults(study)
    table.assign(note="x").to_csv(tmp_path / "m.csv", index=False)
    assert "row 1: unknown key 'note'" in faults(study)
    table.iloc[[0, 0, -1]].to_csv(tmp_path / "m.csv", index=False)
    assert "row 2: text: near_small (caption=10) is there twice" in faults(study)
