"""How MLflow names what the runs of a study are about: parameters and metrics of cells."""

from collections.abc import Sequence
from dataclasses import dataclass

from raysweep.study.cells import Cell, varying
from raysweep.study.spec import StudyBase
from raysweep.text import counted
from raysweep.trials.columns import named
from raysweep.trials.rows import modelled
from raysweep.trials.trial import Arm

_ALWAYS = ("R", "U", "D_phi", "overlap", named("model", 1), named("model", 2))


@dataclass(frozen=True)
class CellFacts:
    """What the runs of one cell have in common.

    Attributes:
        label: readable name of the cell.
        number: its place in the study, from 00000: MLflow sorts tags as text.
        params: the few parameters that every run of the cell shows.
        all_params: everything the cell is made of, shown by its parent run.
    """

    cell: Cell
    label: str
    number: str
    params: dict[str, str]
    all_params: dict[str, str]


@dataclass(frozen=True)
class StudyFacts:
    """The cells of a study and which of their parameters differ.

    Attributes:
        cells: cell id -> its facts, in the order of the study.
        varying: parameters that differ between cells.
        axes: those of them that all cells of a dataset have, once for all datasets that share them.
    """

    cells: dict[str, CellFacts]
    varying: tuple[str, ...]
    axes: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class EffectNames:
    """Metrics of a cell's parent run about the strength that one criterion chose.

    Attributes:
        strength: the strength itself.
        effects: (arm, column, metric): the mean paired difference of the column from arm none.
    """

    strength: str
    effects: tuple[tuple[Arm, str, str], ...]


def described(study: StudyBase, facts: StudyFacts) -> str:
    """What a study without a description is about, in one sentence."""
    differ = f" that differ in {', '.join(facts.varying)}" if facts.varying else ""
    return f"{study.kind.capitalize()} study of {counted(len(facts.cells), 'cell')}{differ}."


def study_facts(study: StudyBase, cells: Sequence[Cell]) -> StudyFacts:
    """Parameters and labels of all cells of a study."""
    labels = varying(list(cells))
    full = {cell.id: _params(study, cell) for cell in cells}
    kinds: dict[tuple[str, str], set[str]] = {}
    by_dataset: dict[str, list[dict[str, str]]] = {}
    for cell in cells:
        by_dataset.setdefault(cell.dataset, []).append(full[cell.id])
        for name, value in full[cell.id].items():
            kinds.setdefault((cell.dataset, name), set()).add(value)
    differing = {name for (_, name), values in kinds.items() if len(values) > 1}
    if len(by_dataset) > 1:
        differing.add("data")
    names = dict.fromkeys(name for params in full.values() for name in params)
    found = tuple(name for name in names if name in differing)
    shown = {*differing, *_ALWAYS, "data", "loss", "depth_1", "depth_2", "width_1", "width_2"}
    return StudyFacts(
        {
            cell.id: CellFacts(
                cell,
                labels[cell.id],
                f"{i:05d}",
                {name: value for name, value in full[cell.id].items() if name in shown},
                # Not set in any cell: nothing to read, and one parameter more to read past.
                {k: v for k, v in full[cell.id].items() if k in differing or v != text(None)},
            )
            for i, cell in enumerate(cells)
        },
        found,
        tuple(dict.fromkeys(_shared(found, of) for of in by_dataset.values())),
    )


def effect_names(study: StudyBase, criterion: str) -> EffectNames:
    """How a parent run names what came of a criterion's strength: performance, then alignment."""
    columns = (study.tested.performance, named("alignment", study.metric, "test"))
    prefixes = {Arm.FORCED: "effect", Arm.PLACEBO: "placebo_effect"}
    return EffectNames(
        f"chosen_strength_by_{criterion}",
        tuple(
            (arm, column, f"{prefix}_by_{criterion}_{column}")
            for column in columns
            for arm, prefix in prefixes.items()
        ),
    )


def interval_names(criterion: str, performance: str) -> tuple[str, str]:
    """How a parent run names the ends of the interval of a criterion's effect."""
    low, high = (f"effect_{end}_by_{criterion}_{performance}" for end in ("low", "high"))
    return low, high


def loss_params(study: StudyBase) -> dict[str, str]:
    """The alignment loss and its fixed options, under the names that the trial table has."""
    given = study.forced_with()
    return {name: text(value) for name, value in given.items() if value is not None}


def text(value: object) -> str:
    """A parameter as text: whole numbers whole, others with six digits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _params(study: StudyBase, cell: Cell) -> dict[str, str]:
    # A file is known by its content here, too: its path may change.
    files = {path: digest[:12] for path, digest in cell.contents}
    facts = {
        "data": cell.dataset,
        **{k: files.get(v, v) if isinstance(v, str) else v for k, v in cell.parameters},
        **modelled(study, cell),
    }
    return {
        **{name: text(value) for name, value in facts.items()},
        **loss_params(study),
    }


def _shared(names: Sequence[str], cells: Sequence[dict[str, str]]) -> tuple[str, ...]:
    return tuple(name for name in names if all(name in params for params in cells))
