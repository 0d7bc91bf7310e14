"""Runs one pack: loads its data, trains it, measures it, and makes its rows."""

from raysweep.data.facts import data_facts
from raysweep.kinds.forcing.curves import AlignmentCurve, learning_curves
from raysweep.kinds.forcing.groups import Group, loaded, train_settings
from raysweep.kinds.forcing.pack_rows import described, measured, outcome
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.models.trained import TrainedPack
from raysweep.training.denormals import denormals
from raysweep.training.inputs import PackData
from raysweep.training.train import precision, train_pack
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row
from raysweep.trials.trial import Options


@denormals(flushed=False)
def run_pack(
    study: ForcingStudy, pack: Pack, device: str = "cpu", estimated: bool = True
) -> list[Row]:
    """Train and measure all trials of a pack.

    Args:
        study: the study the pack belongs to.
        pack: trials of cells of equal scale.
        device: a torch device.
        estimated: whether information that is not known is estimated, which takes seconds; a look
            at how long a pack takes does without.

    Returns:
        One row per trial, in the pack's order; `raysweep.trials.columns.COLUMNS` has its columns.

    Raises:
        InputError: the dataset cannot be loaded, a file has changed since the study was resolved,
            or sizes do not fit.
    """
    rows: dict[int, Row] = {}
    for group in loaded(study, pack.trials):
        of_group = _run_group(group, device, pack.options, estimated)
        rows.update(zip(group.places, of_group, strict=True))
    return [rows[place] for place in range(len(pack.trials))]


def train_only(study: ForcingStudy, pack: Pack, device: str = "cpu") -> None:
    """Load and train a pack as `run_pack` does, and measure nothing: to see how long it takes.

    Raises:
        InputError: as `run_pack`.
    """
    for group in loaded(study, pack.trials):
        _trained(group, device, pack.options)


def _trained(group: Group, device: str, options: Options) -> tuple[TrainedPack, AlignmentCurve]:
    study = group.study
    curve = AlignmentCurve(study, group.shape, group.views, group.dataset)
    trained = train_pack(
        group.shape,
        group.members(),
        PackData.of_views(group.views, group.dataset),
        train_settings(study, device, options),
        observe=curve.observe,
    )
    return trained, curve


def _run_group(group: Group, device: str, options: Options, estimated: bool) -> list[Row]:
    study, trials, views, dataset = group.study, group.trials, group.views, group.dataset
    trained, curve = _trained(group, device, options)
    with precision(study.training.tf32):
        found = measured(study, trained, views)
    of_dataset = dict(zip(dataset, trials, strict=True))  # one trial of each
    facts = {
        which: data_facts(t.cell, t.draw, views[which], estimated)
        for which, t in of_dataset.items()
    }
    return [
        {
            **described(study, trial, facts[dataset[i]], group.shape),
            "device": device,
            **outcome(trained, i, len(trials)),
            **found[i],
            **learning_curves(study, trained, curve, i),
        }
        for i, trial in enumerate(trials)
    ]
