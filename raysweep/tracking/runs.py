"""What MLflow is to show of a cell: a parent run, and a run per stage, arm, strength or rates."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from raysweep.folder.causes import Facts, causes, columns
from raysweep.kinds.kind import kind_of
from raysweep.kinds.sweep import CellPlan, CellState
from raysweep.seeds import content_key
from raysweep.study.spec import StudyBase
from raysweep.text import as_markdown
from raysweep.tracking.facts import CellFacts, effect_names, loss_params, text
from raysweep.tracking.groups import Group, group_trials
from raysweep.tracking.means import average, frequencies, mean, mean_and_sd, total
from raysweep.tracking.record import RunRecord
from raysweep.trials.columns import CURVE_EPOCHS, TIMING_COLUMNS, Column, Role, column_of, named
from raysweep.trials.criteria import objective_of
from raysweep.trials.trial import Arm, Proposal, Stage, Status, Trial

# Which rows a run's learning curves are the means of.
CURVES_TAG = "raysweep.curves"
# Hash of the study file as it was resolved; on the experiment and on each of its runs.
STUDY_TAG = "study_digest"
Progress = Callable[[int, int], None]
"""Told how many runs of a copy are written, and how many are to be."""
_MEAN_ONLY = (
    *("gradient_ratio", "best_epoch", named("best_epoch", 1), named("best_epoch", 2)),
    *TIMING_COLUMNS,
)
_OF_CHANCE = ("chance", "chance_high", "chance_p")
_WITHOUT_SD = ("loss", *_OF_CHANCE)


class _Rows:
    """The rows of one cell: lookup by key, columns as arrays."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.keys: list[str] = table.column("key").to_pylist()
        self.position = {key: i for i, key in enumerate(self.keys)}
        statuses = table.column("status").to_pylist()
        self.ok = np.array([s == Status.OK.value for s in statuses], dtype=bool)
        self._numbers: dict[str, np.ndarray] = {}
        self.seconds = self.numbers("train_seconds")
        there = [column_of(name) for name in table.column_names]
        numeric = {field.name for field in table.schema if _is_numeric(field.type)}
        self.measured = [c.name for c in there if c.is_number and c.name in numeric]
        self.layers = [c.name for c in there if c.family == "alignment_layers"]
        told = (Role.INFORMATION, Role.INTERVAL)
        self.information = [c.name for c in there if c.role in told]

    def numbers(self, name: str) -> np.ndarray:
        """A column as float64, NaN where there is no value."""
        if name not in self._numbers:
            values = np.full(len(self.keys), np.nan)
            if name in self.table.column_names:
                values = self.table.column(name).cast(pa.float64()).to_numpy()
            self._numbers[name] = values
        return self._numbers[name]

    def facts(self, metric: str, trials: Iterable[Trial]) -> list[Facts]:
        """What the rows of some trials say to `raysweep.folder.causes`."""
        names = [name for name in columns(metric) if name in self.table.column_names]
        there = [trial for trial in trials if trial.key in self.position]
        rows = self.table.select(names).take(pa.array([self.position[t.key] for t in there]))
        # The plan of now says what a strength was chosen by.
        return [
            {**row, "chosen_by": trial.chosen_by}
            for row, trial in zip(rows.to_pylist(), there, strict=True)
        ]

    def words(self, name: str, at: np.ndarray) -> list[str]:
        """The texts of a column in some rows; rows without one are left out."""
        found = self.table.column(name).take(pa.array(at)).to_pylist()
        return [word for word in found if word]


def runs_of_cell(
    study: StudyBase,
    plan: CellPlan,
    facts: CellFacts,
    science: str,
    digest: str,
    table: pa.Table,
) -> list[RunRecord]:
    """The runs of a cell, the parent first.

    Args:
        study: the study.
        plan: the cell's plan, from the rows in ``table``.
        facts: its label and parameters.
        science: digest of what the numbers depend on besides the trial.
        digest: of the whole study.
        table: the cell's rows of the trial table; rows that are not planned are left out.
    """
    rows = _Rows(table)
    parent = content_key(["cell", science, plan.cell.id])
    groups = group_trials(plan, rows.position)
    children = [_child(group, rows, parent, facts, science) for group in groups if len(group.rows)]
    found = [_parent(study, plan, parent, facts, science, groups, rows), *children]
    return [replace(run, tags={**run.tags, STUDY_TAG: digest}) for run in found]


def summary_run(
    study: StudyBase,
    science: str,
    digest: str,
    parents: Sequence[RunRecord],
    cells: int,
    planned: int,
    status: str,
) -> RunRecord:
    """The run that holds a study's files and its progress as a whole.

    Args:
        study: the study.
        science: digest of what the numbers depend on besides the trial.
        digest: of the whole study.
        parents: the parent runs of the cells that have any.
        cells: number of cells of the study.
        planned: trials of the whole study.
        status: as `run_status.study_status` gives it.
    """
    trials = sum(p.metrics["trials"] for p in parents)
    training = {} if study.training is None else study.training.model_dump(mode="json")
    return RunRecord(
        identity=content_key(["study", science]),
        parent=None,
        name=f"study {study.name}",
        status=status,
        params={
            **{name: text(value) for name, value in training.items() if value is not None},
            **_asked(study),
        },
        metrics={
            "cells": float(cells),
            "trials": trials,
            "trials_planned": float(max(planned, trials)),
            "diverged": sum(p.metrics["diverged"] for p in parents),
        },
        tags={"level": "study", "raysweep.science": science, STUDY_TAG: digest},
        seconds=sum(p.seconds for p in parents),
    )


def _asked(study: StudyBase) -> dict[str, str]:
    """What is trained with, searched for and measured."""
    objective = objective_of(study.criteria)
    return {
        **loss_params(study),
        **({"objective": objective} if objective else {}),
        "metric": study.metric,
    }


def _child(group: Group, rows: _Rows, parent: str, facts: CellFacts, science: str) -> RunRecord:
    about = group.about
    ok = group.rows[rows.ok[group.rows]]
    metrics: dict[str, float] = {}
    # The UI keeps this order, and its comparison starts with the first.
    measured = [column_of(name) for name in rows.measured if name not in facts.all_params]
    for column in sorted(measured, key=_importance):
        values = rows.numbers(column.name)[ok]
        with_sd = column.family not in _WITHOUT_SD
        metrics.update(mean_and_sd(column.name, values, with_sd))
    metrics["strength"] = about.strength
    if about.strength > 0:
        metrics["log10_strength"] = math.log10(about.strength)
    metrics["seeds"] = float(len(ok))
    metrics["diverged"] = float(len(group.rows) - len(ok))
    for name in _MEAN_ONLY:
        value = mean(rows.numbers(name)[ok])
        if value is not None:
            metrics[name] = value
    complete = len(group.rows) == len(group.trials)
    chosen_by = next((t.chosen_by for t in group.trials if t.chosen_by), "")
    keys = [rows.keys[i] for i in group.rows]
    curves = _curves(rows, ok) if complete else {}
    return RunRecord(
        identity=about.identity(parent),
        parent=parent,
        name=f"{about.name} · {facts.label}",
        status="RUNNING" if not complete else "FINISHED" if len(ok) else "FAILED",
        params={**about.params, **facts.params},
        metrics=metrics,
        tags={
            "level": "strength",
            "stage": about.stage.value,
            "arm": about.arm.value,
            "cell": facts.label,
            "cell_number": facts.number,
            **{name: frequencies(w) for name in rows.layers if (w := rows.words(name, ok))},
            **({"chosen_by": chosen_by} if chosen_by else {}),
            "raysweep.science": science,
            **({CURVES_TAG: content_key(sorted(keys))} if curves else {}),
        },
        keys=keys,
        seconds=total(rows.seconds[group.rows]),
        curves=curves,
    )


def _parent(
    study: StudyBase,
    plan: CellPlan,
    identity: str,
    facts: CellFacts,
    science: str,
    groups: Sequence[Group],
    rows: _Rows,
) -> RunRecord:
    there = np.concatenate([g.rows for g in groups]) if groups else np.zeros(0, np.int64)
    metrics = {"trials": float(len(there)), "diverged": float(np.sum(~rows.ok[there]))}
    for criterion, proposal in plan.chosen.items():
        names = effect_names(study, criterion)
        metrics[names.strength] = proposal.strength
        for arm, column, name in names.effects:
            effect = average(_paired_differences(groups, rows, arm, proposal, column))
            if effect is not None:
                metrics[name] = effect
    for name in rows.information:
        value = mean(rows.numbers(name)[there])
        if value is not None:
            metrics[name] = value
    why = _causes(study, plan, rows)
    done = plan.state is CellState.DONE
    failed = plan.state in (CellState.NO_STRENGTH, CellState.NO_RATES)
    chosen = ", ".join(f"{v} (by {k})" for k, v in plan.chosen.items())
    return RunRecord(
        identity=identity,
        parent=None,
        name=facts.label,
        status="FINISHED" if done else "FAILED" if failed else "RUNNING",
        params={**facts.all_params, "cell": plan.cell.id},
        metrics=metrics,
        tags={
            "level": "cell",
            "cell": facts.label,
            "cell_number": facts.number,
            "state": plan.state.value,
            **({"cause": "; ".join(why.values())} if why else {}),
            "mlflow.note.content": (
                f"Cell **{as_markdown(facts.label)}** of study {as_markdown(study.name)}. "
                + "".join(
                    f"No verdict{f' by {by}' if by else ''}: {as_markdown(sentence)}. "
                    for by, sentence in why.items()
                )
                + kind_of(study).note(chosen)
            ),
            "raysweep.science": science,
        },
        seconds=total(rows.seconds[there]),
    )


def _causes(study: StudyBase, plan: CellPlan, rows: _Rows) -> dict[str, str]:
    """Criterion -> why the cell has no verdict by it, once all is there."""
    if plan.packs:
        return {}
    return causes(rows.facts(study.metric, plan.trials), study.criteria, study.metric)


def _paired_differences(
    groups: Sequence[Group], rows: _Rows, arm: Arm, proposal: Proposal, column: str
) -> np.ndarray:
    """Differences from arm none of the confirm stage, over (draw, seed) where both have a value."""
    values = rows.numbers(column)
    found: dict[Arm, dict[tuple[int, int], float]] = {arm: {}, Arm.NONE: {}}
    for group in groups:
        about = group.about
        forced = Proposal(about.strength, about.options, about.rates) == proposal
        wanted = about.strength == 0.0 if about.arm is Arm.NONE else forced
        if about.stage is Stage.CONFIRM and about.arm in found and wanted:
            found[about.arm] = {
                (t.draw, t.seed): values[rows.position[t.key]]
                for t in group.trials
                if t.key in rows.position and rows.ok[rows.position[t.key]]
            }
    pairs = found[arm].keys() & found[Arm.NONE].keys()
    both = np.array([(found[arm][p], found[Arm.NONE][p]) for p in sorted(pairs)]).reshape(-1, 2)
    both = both[~np.isnan(both).any(axis=1)]
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(both[:, 0] - both[:, 1])


def _importance(column: Column) -> tuple[bool, bool, bool, bool]:
    return (
        column.family == "loss",
        column.family in _OF_CHANCE,
        column.family == "performance",
        column.split != "test",
    )


def _is_numeric(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _curves(rows: _Rows, ok: np.ndarray) -> dict[str, list[tuple[int, float]]]:
    """Learning curves as means over the rows; all of a study are seen at the same epochs."""
    if CURVE_EPOCHS not in rows.table.column_names or not len(ok):
        return {}
    some = rows.table.take(pa.array(ok))
    epochs = some.column(CURVE_EPOCHS).to_pylist()
    if None in epochs or len({tuple(of) for of in epochs}) > 1:
        return {}
    found = {}
    for name in some.column_names:
        if column_of(name).role is Role.CURVE and name != CURVE_EPOCHS:
            seen = np.array(some.column(name).to_pylist(), dtype=np.float64)
            there = np.isfinite(seen).all(axis=0)
            if there.any():
                means = [average(column) for column in seen[:, there].T]
                points = zip(np.array(epochs[0])[there], means, strict=True)
                found[name] = [(int(epoch), value) for epoch, value in points if value is not None]
    return found
