"""A trial that is trained by transformers' Trainer: the loss, the curves, and going on.

from raysweep.kinds.trial import huggingface

class Model(nn.Module):                     # forward returns loss, logits, h1 and h2
    ...

def run(trial):
    trainer = huggingface.forced(Trainer, trial, lambda outputs: (outputs["h1"], outputs["h2"]))(
        model=Model(), args=TrainingArguments(trial.folder, seed=trial.seed, ...), ...
    )
    trainer.train(resume_from_checkpoint=huggingface.checkpoint(trial))
    return {"loss_test": trainer.evaluate(test)["eval_loss"]}
"""

from collections.abc import Callable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from raysweep.kinds.trial.context import TrialContext
from raysweep.trials.columns import column_of

_PREFIX = "eval_"
# What Trainer says of time.
_ASIDE = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")

Representations = Callable[[Any], Sequence[torch.Tensor]]


class TrialCallback(TrainerCallback):
    """Logs every evaluation to a trial, and stops where the search stops.

    ``eval_f1`` is logged as ``f1_validation``, by whole epochs. Where Trainer saves, the trial
    keeps which checkpoint is the last, in its folder.
    """

    def __init__(self, trial: TrialContext) -> None:
        self._trial = trial

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **_: Any,
    ) -> TrainerControl:
        """See `TrainerCallback.on_evaluate`."""
        if state.epoch is None or not state.is_world_process_zero:
            return control
        numbers = {
            column_of(name.removeprefix(_PREFIX)).on("validation"): value
            for name, value in (metrics or {}).items()
            if name.startswith(_PREFIX)
            and isinstance(value, Real)
            and name.removeprefix(_PREFIX) not in _ASIDE
        }
        if not self._trial.log(round(state.epoch), **numbers):
            control.should_training_stop = True
        return control

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """See `TrainerCallback.on_save`."""
        if state.is_world_process_zero:
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            self._trial.save({"checkpoint": str(folder.absolute())})


def forced(
    trainer: type[Trainer],
    trial: TrialContext,
    representations: Representations,
    widths: Sequence[int] = (),
) -> type[Trainer]:
    """A Trainer whose training loss has the trial's penalty, and that logs to the trial.

    Args:
        trainer: the class to derive from.
        trial: the trial.
        representations: outputs of the model -> [b, d] of each modality.
        widths: their features, for a loss that learns projections.
    """

    class Forced(trainer):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            self.add_callback(TrialCallback(trial))

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, **keywords: Any
        ) -> Any:
            loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **keywords)
            if model.training:
                parts = self._parts_that_add_up(keywords.get("num_items_in_batch"))
                loss = loss + trial.penalty(*representations(outputs)).to(loss) / parts
            return (loss, outputs) if return_outputs else loss

        def _parts_that_add_up(self, counted: Any) -> int:
            # Of a batch in parts Trainer takes the mean, save of losses by all items of the batch.
            scaled = getattr(self, "loss_is_scaled_for_ga", None)
            if scaled is None:
                by_items = self.model_accepts_loss_kwargs and counted is not None
                scaled = by_items or self.compute_loss_func is not None
            whole = self.args.gradient_accumulation_steps
            parts: int = getattr(self, "current_gradient_accumulation_steps", whole)
            return parts if scaled else 1

        def create_optimizer(self, *arguments: Any, **keywords: Any) -> Any:
            optimizer = super().create_optimizer(*arguments, **keywords)
            learned = trial.parameters(*widths)
            if learned:
                optimizer.add_param_group({"params": learned, "weight_decay": 0.0})
            return optimizer

    return Forced


def checkpoint(trial: TrialContext) -> str | None:
    """The last checkpoint of the trial's Trainer, to go on from; None at a first start."""
    state = trial.load()
    if state is None or not Path(state["checkpoint"]).is_dir():
        return None
    return str(state["checkpoint"])
