"""How much memory a pack of a forcing study takes."""

import numpy as np

from raysweep.kinds.forcing.groups import Group, loaded, train_settings
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.losses import OverPairs, build_loss, pairwise_elements
from raysweep.models.memory import PackSize
from raysweep.training.engine import KERNEL_LOSSES
from raysweep.training.engines import kernel_refusal
from raysweep.training.inputs import TrainSettings
from raysweep.trials.packing import Pack


def pack_bytes(study: ForcingStudy, pack: Pack, device: str = "cpu") -> int:
    """Estimated peak memory of a pack's training, in bytes (`raysweep.models.memory`).

    Raises:
        InputError: as for `run_pack`.
    """
    settings = train_settings(study, device, pack.options)
    # Groups train one after another.
    return max(_group_bytes(group, settings) for group in loaded(study, pack.trials))


def _group_bytes(group: Group, settings: TrainSettings) -> int:
    views, shape, on_cpu = group.views, group.shape, settings.device == "cpu"
    loss = build_loss(settings.loss, settings.loss_options)
    rows = (len(views[0].splits.train), len(views[0].splits.validation))
    aligned = sum(trial.strength > 0 for trial in group.trials)
    batch = min(settings.batch_size, rows[0])
    size = PackSize(
        shape=shape,
        members=len(group.trials),
        aligned=aligned,
        datasets=len(views),
        orders=len({(trial.draw, trial.seed) for trial in group.trials}),
        rows=rows,
        batch_size=settings.batch_size,
        itemsize=np.dtype(settings.dtype).itemsize,
        alignment_parameters=sum(OverPairs(loss).parameter_counts(shape.widths)),
        pairwise=pairwise_elements(settings.loss, aligned, batch, on_cpu),
    )
    task, lacking = views[0].task, views[0].present is not None
    refusal = kernel_refusal(shape, settings, settings.layer, task, lacking)
    if settings.engine == "torch" or refusal:
        return size.torch_bytes()
    return size.kernel_bytes(asked=settings.loss not in KERNEL_LOSSES)
