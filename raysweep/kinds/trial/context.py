"""What a trial of the user's own is given: what to train, and the verbs that raysweep brings."""

import math
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from raysweep.errors import InputError
from raysweep.kinds.trial.penalty import Penalty
from raysweep.kinds.trial.place import Place
from raysweep.kinds.trial.seeding import random_states, restore_random_states
from raysweep.kinds.trial.state import pack_state, unpack_state
from raysweep.kinds.trial.study import TrialStudy
from raysweep.kinds.trial.told import TrialError, epochs_trained, number
from raysweep.metrics.groups import group_numbers
from raysweep.metrics.undefined import same_rows, words_of
from raysweep.study.cells import expand
from raysweep.study.spec.fields import Scalar, listed
from raysweep.training.alignment_scores import layer_scores
from raysweep.training.measured_rows import some_rows
from raysweep.trials.columns import MEASURED_SPLITS
from raysweep.trials.measured import alignment_columns
from raysweep.trials.rows import Values
from raysweep.trials.storage import Output
from raysweep.trials.trial import Arm, Stage, Trial

_VIEWS = ("cell", "options", "training")


class TrialContext:
    """A trial, as the function that trains it is given it.

    Attributes:
        cell: value of each axis of the grid.
        draw: which draw of the data.
        seed: of initial weights and batches; equal in the arms of a pair.
        strength: weight of the alignment loss; 0 in arm ``none``.
        options: of the alignment loss, fixed and searched.
        training: what ``search.training`` asks for, by name: to be trained with, in every arm.
        arm: ``none``, ``forced`` or ``placebo``.
        stage: ``tune`` (of ``search.training``), ``search`` or ``confirm``.
        epochs: train for so many, because the search looks then who goes on; None: to the end.
        device: ``cuda`` where the study gives trials a GPU, else ``cpu``.
        folder: private, and still there when the trial goes on after its worker was lost (of a run
            whose output is remote it is on the worker: only what `save` keeps is still there).

    Example:
        >>> import raysweep
        >>> trial = raysweep.TrialContext.by_hand({"width": 8}, arm="placebo", strength=0.5)
        >>> trial.cell["width"], trial.arm.value, trial.strength, trial.draw, trial.seed
        (8, 'placebo', 0.5, 0, 0)
    """

    def __init__(self, study: TrialStudy, trial: Trial, device: str, output: Output) -> None:
        self.cell: Mapping[str, Scalar] = MappingProxyType(dict(trial.cell.parameters))
        self.draw, self.seed, self.strength = trial.draw, trial.seed, trial.strength
        fixed = {} if trial.arm is Arm.NONE else study.alignment.options
        self.options: Mapping[str, Any] = MappingProxyType({**fixed, **dict(trial.options)})
        self.training: Mapping[str, Any] = MappingProxyType(dict(trial.training))
        self.arm, self.stage = trial.arm, trial.stage
        self.epochs: int | None = trial.epochs or None
        self.device = device
        halving = study.search.halving
        whole = None if halving is None else halving.epochs[-1]
        self._study, self._place = study, Place(output, trial, whole)
        self.folder: Path = self._place.folder
        self._penalty = Penalty(
            study.alignment.loss,
            {**study.alignment.options, **dict(trial.options)},
            trial.arm,
            trial.strength,
            (study.seed, trial.draw, trial.seed),
            study.alignment.negatives == "all",
        )
        self._logged: dict[int, dict[str, float]] = {}
        self._measured: Values = {}
        self._followed: float | None = None

    @classmethod
    def by_hand(
        cls,
        cell: Mapping[str, Scalar] | None = None,
        *,
        arm: str = "none",
        strength: float = 0.0,
        draw: int = 0,
        seed: int = 0,
        loss: str = "infonce",
        options: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Mapping[str, Any]] | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> "TrialContext":
        """A trial outside of any run: to call a function of one's own from a test or a notebook.

        Args:
            cell: value of each axis.
            arm: ``none``, ``forced`` or ``placebo``.
            strength: weight of the loss; taken as 0 in arm ``none``.
            draw: of the data.
            seed: of the trial; nothing is seeded before it is asked for (`seed_everything`).
            loss: of a study's ``alignment``.
            options: of the loss.
            metrics: those of a study's ``evaluation``, with their options.
            training: settings as a search of the training would ask for.

        Raises:
            ValueError: an unknown arm, a strength below 0, or a value that no study takes.

        Example:
            >>> import raysweep
            >>> raysweep.TrialContext.by_hand({"width": 8}, arm="forced", strength=2.0, seed=3)
            TrialContext(width=8; draw=0, seed=3, strength=2, arm=forced, stage=search)
        """
        evaluation = {} if metrics is None else {"metrics": dict(metrics)}
        study = TrialStudy.model_validate(
            {
                "name": "by_hand",
                "trial": "by:hand",
                "grid": dict(cell or {}),
                "alignment": {"loss": loss, "options": dict(options or {})},
                "evaluation": evaluation,
                "verdict": {"performance": "performance_test"},
            }
        )
        if arm not in list(Arm):
            raise ValueError(f"arm is {arm!r}; expected one of {listed(Arm)}")
        of_arm = Arm(arm)
        if not 0 <= strength < math.inf:
            raise ValueError(f"strength is {strength!r}; expected a number, 0 or more")
        given = 0.0 if of_arm is Arm.NONE else float(strength)
        trial = Trial(
            expand(study)[0],
            draw,
            seed,
            given,
            of_arm,
            Stage.SEARCH,
            "by hand",
            training=tuple(sorted((training or {}).items())),
        )
        place = tempfile.mkdtemp(prefix="raysweep-trial-")
        context = cls(study, trial, "cpu", Output(place))
        weakref.finalize(context, shutil.rmtree, place, ignore_errors=True)
        return context

    def penalty(self, *representations: torch.Tensor, groups: object = None) -> torch.Tensor:
        """What to add to the task loss of a batch.

        In arm ``forced`` it is strength x loss; in ``placebo`` the same on pairs that are shuffled
        within the batch; in ``none`` 0 exactly, which still allows ``backward()``.

        Args:
            *representations: [b, d] of each modality, row i of all the same sample; two or more.
            groups: [b] numbers or texts, equal for rows that belong together, such as captions of
                one image: they are no negatives of each other (unless ``alignment.negatives`` is
                ``all``), and no shuffled pairs.

        Returns:
            One number, in their dtype. On a batch where the loss is undefined it is 0.

        Raises:
            InputError: shapes that do not fit, or a loss that learns (see `parameters`) and does
                not reach an optimizer.

        Example:
            >>> import raysweep, torch
            >>> trial = raysweep.TrialContext.by_hand(arm="forced", strength=2.0, loss="mse")
            >>> h1 = torch.ones(4, 3, requires_grad=True)
            >>> float(trial.penalty(h1, h1.detach()).detach())
            0.0
            >>> nothing = raysweep.TrialContext.by_hand(arm="none").penalty(h1, h1)
            >>> nothing.backward()
            >>> nothing.item(), h1.grad.abs().max().item()
            (0.0, 0.0)
        """
        return self._penalty(*representations, groups=groups)

    def parameters(self, *widths: int) -> list[torch.nn.Parameter]:
        """What the alignment loss learns itself, for the optimizer; mostly nothing.

        Args:
            *widths: features of each modality, for a loss with projections that hang on them.

        Raises:
            InputError: the widths are needed, or the loss cannot compare them.

        Example:
            >>> import raysweep
            >>> options = {"learned": True}
            >>> trial = raysweep.TrialContext.by_hand(arm="forced", strength=1.0, options=options)
            >>> [parameter.numel() for parameter in trial.parameters()]
            [1]
        """
        found = self._penalty.parameters(*widths)
        self._penalty.to(self.device)
        return found

    def log(self, epoch: int, **metrics: object) -> bool:
        """Note what was seen after an epoch: a point of every learning curve.

        Args:
            epoch: epochs trained so far, 0 or more; one that is logged again is replaced.
            **metrics: numbers by name.

        Returns:
            Whether to go on; False where the search stops here to see which trials go on. The
            function then returns its metrics, as at its end.

        Raises:
            TrialError: an epoch or a value that is none.

        Example:
            >>> import raysweep
            >>> raysweep.TrialContext.by_hand().log(1, loss=0.7, f1=0.4)
            True
        """
        epoch = epochs_trained(epoch)
        halving = self._study.search.halving
        if halving is not None and epoch > halving.epochs[-1]:
            raise TrialError(
                f"trial.log: epoch {epoch}, and search.halving.epochs ends at "
                f"{halving.epochs[-1]}; its last number is the epochs of a whole trial"
            )
        point = {name: number(value, f"trial.log: {name}") for name, value in metrics.items()}
        if self._followed is not None:
            point.setdefault("alignment", self._followed)
            self._followed = None
        self._logged[epoch] = point
        self._place.note(epoch, point)
        return self.epochs is None or epoch < self.epochs

    def measure(
        self, split: str, *representations: object, groups: object = None
    ) -> dict[str, float]:
        """All alignment metrics of the study, on a split, for the trial's row.

        Args:
            split: ``validation`` (what a search may go by) or ``test``.
            *representations: [n, d] of each modality, tensors or arrays, row i of all the same
                sample. Of more than ``evaluation.rows`` as many are chosen, always the same ones.
            groups: [n] numbers or texts, equal for rows that belong together: they are no
                neighbours of each other, and chance permutes whole groups.

        Returns:
            Metric -> its value, NaN where it is undefined; chance and the value corrected for it
            are in the row, where the study calibrates. A split that is measured again is replaced.

        Raises:
            InputError: an unknown split, or shapes that do not fit.

        Example:
            >>> import raysweep
            >>> trial = raysweep.TrialContext.by_hand(metrics={"cka": {}})
            >>> h1 = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [4.0, 3.0]]
            >>> trial.measure("test", h1, h1)
            {'cka': 1.0}
        """
        if split not in MEASURED_SPLITS:
            raise InputError(f"trial.measure: split is {split!r}; expected validation or test")
        layers = [_layer(h, place) for place, h in enumerate(representations, start=1)]
        if len(layers) < 2 or len({len(h) for h in layers}) > 1:
            said = ", ".join(str(list(h.shape)) for h in layers) or "none"
            raise InputError(
                f"trial.measure: representations of {said}; give two or more of the same samples"
            )
        evaluation = self._study.evaluation
        count = len(layers[0])
        of = None if groups is None else group_numbers(groups, count, "trial.measure")
        rows = some_rows(np.arange(count), split, evaluation.rows, of)
        of = None if of is None else group_numbers(of[rows], len(rows))
        chosen = [h[torch.from_numpy(rows).to(h.device)] for h in layers]
        with torch.no_grad():
            scores = layer_scores(
                [[h[None]] for h in chosen], split, evaluation, [1] * len(chosen), of
            )
        values = {name: float(score.value[0]) for name, score in scores.items()}
        lost = [name for name, value in values.items() if not math.isfinite(value)]
        apart = [words for score in scores.values() for words in score.apart]
        why = words_of(lost, [bool(same_rows(h)) for h in chosen], apart)
        self._measured |= alignment_columns(scores, split, evaluation, 0, why)
        if split == "validation":
            self._followed = values[self._study.metric]
        return values

    def save(self, state: object) -> None:
        """Keep a state that the trial goes on from where its worker is lost.

        With it are kept what was logged and measured, and where the random generators stand. It is
        written whole or not at all, in the place of the one before.

        Args:
            state: dicts, lists and tuples of tensors, arrays, numbers and texts, such as the
                ``state_dict()`` of a model and its optimizer. Nothing is pickled.

        Raises:
            InputError: something else is in it.
            OSError: the output cannot be written.

        Example:
            >>> import raysweep, torch
            >>> trial = raysweep.TrialContext.by_hand()
            >>> trial.save({"epoch": 3, "weights": torch.ones(2)})
            >>> trial.load()
            {'epoch': 3, 'weights': tensor([1., 1.])}
        """
        kept = {
            "state": state,
            "logged": self._logged,
            "measured": self._measured,
            "penalty": self._penalty.state(),
            "random": random_states(),
        }
        self._place.keep(pack_state(kept, name=""))

    def load(self) -> Any:
        """The last state that was saved, with tensors on the CPU; None at a first start.

        What was logged and measured until then, and the random generators, are as they were.

        Example:
            >>> import raysweep
            >>> raysweep.TrialContext.by_hand().load() is None
            True
        """
        content = self._place.kept()
        if content is None:
            return None
        try:
            kept = unpack_state(content)
        except ValueError:
            return None  # damaged, and so as good as none
        logged: dict[int, dict[str, float]] = kept["logged"]
        if self.epochs is not None and max(logged, default=0) > self.epochs:
            return None  # of the same trial, when it had gone on
        # What was logged after the epoch that was saved, by a loop that saves first.
        last = self._place.noted_after(max(logged, default=-1))
        wanted = {e: p for e, p in last.items() if self.epochs is None or e <= self.epochs}
        self._logged, self._measured = {**logged, **wanted}, kept["measured"]
        self._penalty.restore(kept["penalty"])
        restore_random_states(kept["random"])
        return kept["state"]

    def _leave(self) -> None:
        """The trial has ended."""
        self._place.leave()

    def __getstate__(self) -> dict[str, Any]:
        # For processes that a trial starts, to which it is sent.
        views = {name: dict(getattr(self, name)) for name in _VIEWS}
        return {**self.__dict__, **views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        views = {name: MappingProxyType(state[name]) for name in _VIEWS}
        self.__dict__.update(state | views)

    def __repr__(self) -> str:
        cell = ", ".join(f"{name}={value}" for name, value in self.cell.items())
        return (
            f"TrialContext({cell or 'one cell'}; draw={self.draw}, seed={self.seed}, "
            f"strength={self.strength:g}, arm={self.arm}, stage={self.stage})"
        )


def _layer(h: object, place: int) -> torch.Tensor:
    try:
        found = h.detach() if isinstance(h, torch.Tensor) else torch.as_tensor(np.asarray(h))
    except (TypeError, ValueError) as error:
        raise InputError(f"trial.measure: representation {place}: {error}") from error
    if found.dim() != 2:
        raise InputError(
            f"trial.measure: representation {place} has shape {list(found.shape)}; expected "
            "samples x features"
        )
    if not found.is_floating_point() or found.dtype in (torch.float16, torch.bfloat16):
        found = found.to(torch.float32 if found.is_floating_point() else torch.float64)
    return found
