"""The columns of a forcing study's trials: what they were, how they trained, what was measured."""

from collections.abc import Mapping, Sequence

import numpy as np

from raysweep.data.views import Views
from raysweep.kinds.forcing.groups import trained
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.kinds.forcing.undefined import undefined_words
from raysweep.models.architecture import Architecture
from raysweep.models.trained import TrainedPack
from raysweep.training import evaluate
from raysweep.training.outcomes import outcomes, why_undefined
from raysweep.trials.columns import MEASURED_SPLITS, SPLITS, named
from raysweep.trials.measured import alignment_columns
from raysweep.trials.rows import Values, ended, forced_by, modelled, planned
from raysweep.trials.tasks import Task
from raysweep.trials.trial import Status, Trial


def measured(study: ForcingStudy, trained: TrainedPack, views: Sequence[Views]) -> list[Values]:
    """What every member reaches on all splits: performance, losses, alignment."""
    rows: list[Values] = [{} for _ in trained.dataset]
    usable = trained.status == Status.OK
    task = views[0].task

    def put(column: str, values: np.ndarray) -> None:
        for i, row in enumerate(rows):
            value = float(values[i])
            row[column] = value if usable[i] and np.isfinite(value) else None

    for split in SPLITS:
        if split not in MEASURED_SPLITS:
            found = evaluate.population_performance(trained, views)
        elif task is not Task.CLASSIFICATION:
            found = None
        else:
            found = evaluate.performance(trained, views, split)
        if found is not None:
            for head in found.accuracy:
                put(named("performance", head, split), found.accuracy[head])
                put(named("loss", head, split), found.loss[head])
    asked = study.outcomes
    if task is not Task.CLASSIFICATION:
        asked = tuple(dict.fromkeys((*task.always, *asked)))
    for split in MEASURED_SPLITS if asked else ():
        for family, by_head in outcomes(trained, views, split, asked).items():
            for head, values in by_head.items():
                put(named(family, head, split), values)
    for split in MEASURED_SPLITS:
        scores = evaluate.alignment(trained, views, split, study.evaluation, study.aligned_layer)
        lost = [why_undefined(view, split, asked) for view in views]
        for i, words in enumerate(undefined_words(study, trained, views, split, scores)):
            why = "; ".join(filter(None, (words, lost[trained.dataset[i]])))
            of = alignment_columns(scores, split, study.evaluation, i, why, bool(usable[i]))
            rows[i].update(of)
    return rows


def described(
    study: ForcingStudy, trial: Trial, facts: Mapping[str, int | float | str], shape: Architecture
) -> Values:
    """What a trial was: its place in the study, its data, its model and its settings."""
    return {
        **planned(study, trial),
        "objective": study.search.objective,
        **facts,
        **modelled(study, trial.cell),
        **forced_by(study, trial),
        "parameters": shape.parameter_count - len(shape.frozen_columns),
        "alignment_layer": str(study.alignment.layer),
        "batch_size": study.training.batch_size,
        **trained(study, trial),
    }


def outcome(trained: TrainedPack, i: int, members: int) -> Values:
    """How the training of member i went."""
    ratio = float(trained.gradient_ratio[i])
    return {
        **ended(Status(str(trained.status[i])), int(trained.diverged_step[i])),
        "best_epoch": int(trained.best_epoch[i]) + 1,
        **{
            named("best_epoch", head): int(epochs[i]) + 1
            for head, epochs in zip(trained.shape.heads, trained.own_best_epoch, strict=False)
        },
        "steps": int(trained.steps[i]),
        "unforced_steps": int(trained.unforced_steps[i]),
        "gradient_ratio": ratio if np.isfinite(ratio) else None,
        "train_seconds": trained.train_seconds / members,
    }
