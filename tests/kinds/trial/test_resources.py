"""What trials need where cells differ in it: the file, the plan, and threads in this process."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import opened, raysweep
from trial_runs import SUPPORT, document, study

from raysweep.kinds.trial.study import TrialStudy
from raysweep.runners import local
from raysweep.study.cells import expand
from raysweep.study.fingerprint import science_digest
from raysweep.study.reader import StudyFileError, dump_study, parse_study

GRID = {"width": [256, 512, 0.5], "genre": ["war", "horror"], "deep": [True, False]}
MIXED: dict[str, Any] = {
    "cpus_per_trial": 2,
    "custom": {"licence": 1},
    "by": {
        "width": {512: {"gpus_per_trial": 2, "memory": 64}, "5e-1": {"custom": {"disk": 3}}},
        "deep": {True: {"cpus_per_trial": 4}},
    },
}


def wanted(**changes: Any) -> TrialStudy:
    return study(grid=GRID, resources={**MIXED, **changes})


def test_each_cell_has_what_its_values_need_and_else_what_is_said_of_all() -> None:
    found = wanted()
    for cell in expand(found):
        axes = dict(cell.parameters)
        expected: dict[str, float] = {"CPU": 2, "GPU": 0, "licence": 1}
        if axes["width"] == 512:
            expected |= {"GPU": 2, "memory": 64e9}
        if axes["width"] == 0.5:
            expected |= {"disk": 3}
        if axes["deep"]:
            expected |= {"CPU": 4}
        assert found.resources.of(axes).needs() == expected
    assert len(found.every_resources()) == 6
    assert parse_study(dump_study(found), "again", SUPPORT) == found
    assert science_digest(found) == science_digest(study(grid=GRID))


@pytest.mark.parametrize(
    ("by", "place", "message"),
    [
        (
            {"widht": {"1": {}}},
            r"resources\.by\.widht",
            "widht is no axis of grid .axes: width, ge",
        ),
        ({"width": {"511": {}}}, r"resources\.by\.width\.511", "511 is no value of axis width"),
        (
            {"width": {512: {"cpus_per_trial": 1}}, "genre": {"war": {"cpus_per_trial": 2}}},
            r"resources\.by\.width\.512",
            "width=512 and genre=war both say cpus_per_trial",
        ),
        ({"width": {512: {"gpus_per_trial": 1.5}}}, r"by\.width\.512\.gpus", "a whole number of"),
        ({"width": {512: {"gpu": 1}}}, r"by\.width\.512\.gpu", "choose from cpus_per_trial"),
        ({"width": {512: {"custom": {"GPU": 1}}}}, r"by\.width\.512\.custom", "no custom resource"),
        ({"width": 512}, r"resources\.by\.width", "mapping"),
    ],
)
def test_faults_are_told_with_their_place(by: dict[str, Any], place: str, message: str) -> None:
    with pytest.raises(StudyFileError, match=f"{place}.*{message}"):
        wanted(by=by)


def test_what_two_axes_say_alike_is_no_clash() -> None:
    same = {"cpus_per_trial": 3}
    assert wanted(by={"width": {512: same}, "genre": {"war": same}})


def test_the_plan_says_what_is_needed_where(tmp_path: Path) -> None:
    import yaml

    text = yaml.safe_dump(
        document(trial={"command": ["awk", "x"]}, grid=GRID, resources=MIXED), sort_keys=False
    )
    (tmp_path / "mine.yaml").write_text(text)
    told = raysweep(tmp_path, "plan", "mine.yaml").stdout
    for line in (
        "a trial needs     width=256 deep=true: 4 CPU, 1 licence",
        "a trial needs     width=512 deep=false: 2 CPU, 2 GPU, 1 licence, 64 GB",
        "a trial needs     width=0.5 deep=false: 2 CPU, 3 disk, 1 licence",
    ):
        assert line in told, told
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document(trial={"command": ["awk", "x"]})))
    assert "a trial needs     1 CPU\n" in raysweep(tmp_path, "plan", "mine.yaml").stdout


def test_each_trial_has_the_threads_of_its_own_cell(tmp_path: Path) -> None:
    """In one process, whose number of threads is as before when the run has ended."""
    import torch

    before = torch.get_num_threads()
    found = study(
        trial="own_trials:placed",
        grid={"width": [1, 2]},
        search={"trials": 1, "generation": 1, "seeds": 1},
        confirm={"seeds": 2},
        resources={"by": {"width": {2: {"cpus_per_trial": 2}}}},
    )
    assert not local.run(found, opened(tmp_path, found)).failures
    seen = [json.loads(p.read_text()) for p in tmp_path.glob("trials/*/files/seen.json")]
    assert {(s["cell"]["width"], s["threads"]) for s in seen} == {(1, 1), (2, 2)}
    assert torch.get_num_threads() == before
