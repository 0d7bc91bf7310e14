"""The columns of a forcing study's trials: what they were, how they trained, what was measured."""

from collections.abc import Mapping, Sequence

import numpy as np

from raysweep.data.views import Views
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.kinds.forcing.undefined import undefined_words
from raysweep.models.architecture import Architecture
from raysweep.models.trained import TrainedPack
from raysweep.study.spec.fields import OptionValue
from raysweep.training import evaluate
from raysweep.trials.trial import Status, Trial

MEASURED_SPLITS = ("validation", "test")


def measured(
    study: ForcingStudy, trained: TrainedPack, views: Sequence[Views]
) -> list[dict[str, float | str | None]]:
    """What every member reaches on all splits: performance, losses, alignment."""
    rows: list[dict[str, float | str | None]] = [{} for _ in trained.dataset]
    usable = trained.status == Status.OK

    def put(column: str, values: np.ndarray) -> None:
        for i, row in enumerate(rows):
            value = float(values[i])
            row[column] = value if usable[i] and np.isfinite(value) else None

    for split in (*MEASURED_SPLITS, "population"):
        if split == "population":
            found = evaluate.population_performance(trained, views)
        else:
            found = evaluate.performance(trained, views, split)
        if found is not None:
            for head in found.accuracy:
                put(f"performance_{head}_{split}", found.accuracy[head])
                put(f"loss_{head}_{split}", found.loss[head])
    for split in MEASURED_SPLITS:
        scores = evaluate.alignment(trained, views, split, study.evaluation, study.aligned_layer)
        for name, score in scores.items():
            put(f"alignment_{name}_{split}", score.value)
            if len(score.pairs) > 1:
                for (a, b), values in score.pairs.items():
                    put(f"pair_{a}-{b}_{name}_{split}", values)
            if score.calibration is not None:
                put(f"chance_{name}_{split}", score.calibration.chance.cpu().numpy())
                put(f"corrected_{name}_{split}", score.calibration.corrected.cpu().numpy())
                put(f"chance_p_{name}_{split}", score.calibration.p_value.cpu().numpy())
            if study.evaluation.layers == "best":
                for i, row in enumerate(rows):
                    row[f"alignment_layers_{name}_{split}"] = score.layers[i]
        for i, why in enumerate(undefined_words(study, trained, views, split, scores)):
            rows[i][f"undefined_{split}"] = why if usable[i] else ""
        counted = [score.distinct for score in scores.values() if score.distinct is not None]
        for modality, counts in enumerate(zip(*counted, strict=True), start=1):
            fewest = np.minimum.reduce(counts)
            for i, row in enumerate(rows):
                row[f"distinct_rows_{modality}_{split}"] = int(fewest[i]) if usable[i] else None
    return rows


def described(
    study: ForcingStudy, trial: Trial, facts: Mapping[str, int | float | str], shape: Architecture
) -> dict[str, int | float | str | None]:
    """What a trial was: its place in the study, its data, its model and its settings."""
    cell = trial.cell
    return {
        "key": trial.key,
        "study": study.name,
        "cell": cell.id,
        "draw": trial.draw,
        "seed": trial.seed,
        "strength": trial.strength,
        "arm": trial.arm.value,
        "stage": trial.stage.value,
        "chosen_by": trial.chosen_by,
        "generation": trial.generation,
        "number": trial.number,
        "objective": study.search.objective,
        **facts,
        "encoder": cell.encoder,
        **{f"encoder_option_{name}": value for name, value in study.model.options.items()},
        "depth_1": cell.depth_1,
        "depth_2": cell.depth_2,
        "width_1": cell.width_1,
        "width_2": cell.width_2,
        "parameters": shape.parameter_count - len(shape.frozen_columns),
        "loss": study.alignment.loss,
        "alignment_layer": str(study.alignment.layer),
        **{f"option_{name}": value for name, value in _options(study, trial).items()},
        "learning_rate": study.training.learning_rate,
        "weight_decay": study.training.weight_decay,
        "batch_size": study.training.batch_size,
        "epochs": study.training.epochs,
    }


def _options(study: ForcingStudy, trial: Trial) -> dict[str, OptionValue | None]:
    """The options of the loss that are given, fixed or searched; the former empty at strength 0."""
    fixed = {n: v if trial.strength > 0 else None for n, v in study.alignment.options.items()}
    return {**fixed, **dict(trial.options)}


def outcome(trained: TrainedPack, i: int, members: int) -> dict[str, int | float | str | None]:
    """How the training of member i went."""
    status = Status(str(trained.status[i]))
    step = int(trained.diverged_step[i])
    ratio = float(trained.gradient_ratio[i])
    return {
        "status": status.value,
        "reason": "" if status is Status.OK else f"not finite at step {step}",
        "best_epoch": int(trained.best_epoch[i]) + 1,
        "diverged_step": step,
        "steps": int(trained.steps[i]),
        "unforced_steps": int(trained.unforced_steps[i]),
        "gradient_ratio": ratio if np.isfinite(ratio) else None,
        "train_seconds": trained.train_seconds / members,
    }
