import dataclasses
import itertools
import math

import pytest
from tiny_two_cells import StudyFactory

from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.sweep import science_digest
from raysweep.seeds import content_key
from raysweep.study.cells import Cell
from raysweep.trials.trial import Arm, Options, Stage, Status, Trial, TrialResult

CELL = Cell("synthetic", (("U", 4),), (0, 1), "mlp", 1, 1, 8, 8)
TRIAL = Trial(CELL, 0, 3, 0.5, Arm.FORCED, Stage.SEARCH, "science", 1, 5, "")

# For every field of a trial: another value, and whether that makes another trial.
OTHER_FIELDS = {
    "cell": (dataclasses.replace(CELL, width_1=16), True),
    "draw": (1, True),
    "seed": (4, True),
    "strength": (math.nextafter(0.5, 1), True),
    "arm": (Arm.PLACEBO, True),
    "stage": (Stage.CONFIRM, True),
    "science": ("other", True),
    "generation": (2, False),
    "number": (6, False),
    "chosen_by": ("alignment", False),
    "options": ((("temperature", 0.1),), True),
    "epochs": (5, True),
    "training": ((("epochs", 3),), True),
}

# Every part of a study, and whether a trial's numbers depend on it other than through the trial.
SCIENCE = {
    "name": False,
    "description": False,
    "code_folders": False,
    "kind": False,
    "seed": True,
    "data": False,
    "model": False,
    "training": True,
    "alignment": True,
    "evaluation": True,
    "search": False,
    "confirm": False,
    "verdict": False,
    "multiverse": False,
    "resources": False,
    "files": False,
}
OVERRIDES = {
    "name": ["name=other"],
    "description": ["description=other"],
    "code_folders": [],
    "kind": [],
    "seed": ["seed=1"],
    "data": ["data.U=[1, 2]", "data.draws=2", "data.train=32"],
    "model": ["model.depth=2", "model.width=16"],
    "training": [
        "training.epochs=3",
        "training.batch_size=8",
        "training.learning_rate=0.01",
        "training.weight_decay=0",
        "training.clip_norm=1",
        "training.fusion=joint",
        "training.checkpoint=last",
        "training.evaluate_every=2",
        "training.dtype=float32",
        "training.engine=torch",
        "training.patience=5",
        "training.tf32=true",
        "training.class_weight=balanced",
    ],
    "alignment": [
        "alignment.loss=cka",
        "alignment.options.temperature=0.5",
        "alignment.layer=1",
        "alignment.negatives=all",
    ],
    "evaluation": [
        "evaluation.metrics=[cka]",
        "evaluation.metrics.mutual_knn.topk=4",
        "evaluation.layers=best",
        "evaluation.rows=16",
        "evaluation.calibrate=9",
        "evaluation.outcomes=[auroc]",
        "evaluation.preprocessing.normalize=false",
    ],
    "search": ["search.trials=9", "search.seeds=3", "search.objective=both", "search.sampler=gp"],
    "confirm": ["confirm.seeds=5"],
    "verdict": ["verdict.margin=0.1", "verdict.performance=performance_1_population"],
    "multiverse": ["multiverse.alpha=[0.01]", "multiverse.margin=[2]"],
    "resources": ["resources.members_per_pack=4", "resources.cpus_per_pack=2"],
    "files": [],
}


def test_every_field_of_a_trial_is_judged() -> None:
    assert set(OTHER_FIELDS) == {field.name for field in dataclasses.fields(Trial)}


@pytest.mark.parametrize("field", OTHER_FIELDS)
def test_the_key_is_made_from_what_the_numbers_depend_on(field: str) -> None:
    value, counts = OTHER_FIELDS[field]
    other = dataclasses.replace(TRIAL, **{field: value})
    assert (other.key != TRIAL.key) == counts
    assert (other != TRIAL) == counts


def test_a_key_is_pinned() -> None:
    assert TRIAL.key == "d685f9f95a7b580f8762"
    assert (
        dataclasses.replace(TRIAL, strength=0).key == dataclasses.replace(TRIAL, strength=0.0).key
    )


@pytest.mark.parametrize("options", [(), (("b", 'ü"\\'), ("a", 0.1)), (("a", True), ("c", None))])
@pytest.mark.parametrize("strength", [0, 0.1, 1e-300, 2.5e30])
@pytest.mark.parametrize("stage", [Stage.SEARCH, Stage.CONFIRM])
def test_a_key_is_the_name_of_the_content(options: Options, strength: float, stage: Stage) -> None:
    cell = dataclasses.replace(CELL, dataset='mine:data"ä')
    for arm, science in itertools.product(Arm, ("science", "s\u2028\\")):
        trial = Trial(cell, 10**6, 2**31, strength, arm, stage, science, options=options)
        content = [science, cell.id, trial.draw, trial.seed, float(strength).hex(), arm, stage]
        content += [dict(options)] if options else []
        assert trial.key == content_key(content)
        trained = dataclasses.replace(trial, training=options)
        content += ["training", dict(options)] if options else []
        assert trained.key == content_key(content)


def test_draws_that_a_cell_also_has_do_not_matter() -> None:
    fewer = dataclasses.replace(TRIAL, cell=dataclasses.replace(CELL, draws=(0,)))
    assert fewer.key == TRIAL.key


def test_every_part_of_a_study_is_judged() -> None:
    assert set(SCIENCE) == set(OVERRIDES) == set(Study.model_fields)


@pytest.mark.parametrize("part", [part for part in OVERRIDES if OVERRIDES[part]])
def test_science_is_what_numbers_depend_on(part: str, study_of: StudyFactory) -> None:
    plain = science_digest(study_of())
    for override in OVERRIDES[part]:
        assert (science_digest(study_of(override)) != plain) == SCIENCE[part], override


def test_every_setting_of_training_and_evaluation_is_tried(study_of: StudyFactory) -> None:
    study = study_of()
    for part in ("training", "evaluation", "alignment"):
        tried = {override.split(".")[1].split("=")[0] for override in OVERRIDES[part]}
        assert tried == set(type(getattr(study, part)).model_fields)


def test_a_default_that_is_written_out_changes_nothing(study_of: StudyFactory) -> None:
    plain = science_digest(study_of())
    for same in (
        "alignment.options.temperature=0.07",
        "alignment.loss=infonce",
        "alignment.layer=last",
        "alignment.negatives=other_groups",
        "evaluation.outcomes=[]",
        "verdict.margin=0.005",
        "verdict.performance=loss_1_test",
        "evaluation.metrics.mutual_knn.similarity=cosine",
        "training.learning_rate=0.001",
    ):
        assert science_digest(study_of(same)) == plain


def test_the_code_of_a_users_own_loss_is_part_of_the_science(tiny_study: Study) -> None:
    def digest(code: str) -> str:
        alignment = tiny_study.alignment.model_copy(update={"loss": "mine:loss"})
        own = {"alignment": alignment, "files": {"mine:loss": code}}
        return science_digest(tiny_study.model_copy(update=own))

    assert digest("11") != digest("22")


def test_a_number_that_is_missing_is_nan() -> None:
    result = TrialResult("k", Status.OK, {"a": 1, "b": None, "c": "2-3"})
    assert result.number("a") == 1.0
    assert all(math.isnan(result.number(name)) for name in ("b", "c", "d"))
