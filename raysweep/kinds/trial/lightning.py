"""A trial that is trained by Lightning: the curves, and going on.

The penalty is a term of the module's own loss:

    from raysweep.kinds.trial.lightning import TrialCallback

    class Model(LightningModule):
        def training_step(self, batch, _):
            h1, h2, loss = ...
            return loss + self.trial.penalty(h1, h2)

    def run(trial):
        follow = TrialCallback(trial)
        trainer = Trainer(max_epochs=60, callbacks=[follow], default_root_dir=trial.folder)
        trainer.fit(Model(trial), train, validation, ckpt_path=follow.checkpoint())
"""

from pathlib import Path
from typing import Any

import lightning.pytorch as lightning

from raysweep.kinds.trial.context import TrialContext
from raysweep.trials.columns import column_of

_PREFIX = "val_"


class TrialCallback(lightning.Callback):
    """Logs what was logged at every validation to a trial, and stops where the search stops.

    ``val_f1`` is logged as ``f1_validation``, anything else by its own name. After every epoch of
    training a checkpoint is written into the trial's folder, and the trial keeps which is the last.
    """

    def __init__(self, trial: TrialContext) -> None:
        self._trial = trial

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """See `lightning.Callback.on_validation_end`."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        numbers = {
            column_of(name.removeprefix(_PREFIX)).on("validation")
            if name.startswith(_PREFIX)
            else name: value
            for name, value in trainer.callback_metrics.items()
        }
        if not self._trial.log(trainer.current_epoch + 1, **numbers):
            trainer.should_stop = True

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """See `lightning.Callback.on_train_epoch_end`."""
        path = self._trial.folder / f"epoch-{trainer.current_epoch + 1}.ckpt"
        trainer.save_checkpoint(path)
        if not trainer.is_global_zero:
            return
        self._trial.save({"checkpoint": str(path)})
        for earlier in self._trial.folder.glob("epoch-*.ckpt"):
            if earlier != path:
                earlier.unlink()

    def checkpoint(self) -> str | None:
        """The last checkpoint, to go on from; None at a first start."""
        state: Any = self._trial.load()
        if state is None or not Path(state["checkpoint"]).is_file():
            return None
        return str(state["checkpoint"])
