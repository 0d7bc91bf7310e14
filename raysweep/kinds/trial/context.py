"""What a trial of the user's own is given: what to train, and the verbs that raysweep brings."""

import json
import math
from collections.abc import Mapping
from numbers import Real
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
from raysweep.metrics.undefined import words_of
from raysweep.study.spec.fields import Scalar, listed
from raysweep.training import evaluate
from raysweep.trials.columns import MEASURED_SPLITS, column_of, is_own_metric, named
from raysweep.trials.measured import alignment_columns
from raysweep.trials.rows import Values
from raysweep.trials.storage import Output
from raysweep.trials.trial import Arm, Stage, Trial


class TrialError(RuntimeError):
    """A trial of the user's own did not give what the study needs of it."""


class TrialContext:
    """A trial, as the function that trains it is given it.

    Attributes:
        cell: value of each axis of the grid.
        draw: which draw of the data.
        seed: of initial weights and batches; equal in the arms of a pair.
        strength: weight of the alignment loss; 0 in arm ``none``.
        options: of the alignment loss, fixed and searched.
        arm: ``none``, ``forced`` or ``placebo``.
        stage: ``search`` or ``confirm``.
        epochs: train for so many, because the search looks then who goes on; None: to the end.
        device: ``cuda`` where the study gives trials a GPU, else ``cpu``.
        folder: private, and still there when the trial goes on after its worker was lost (of a run
            whose output is remote it is on the worker: only what `save` keeps is still there).
    """

    def __init__(self, study: TrialStudy, trial: Trial, device: str, output: Output) -> None:
        self.cell: Mapping[str, Scalar] = MappingProxyType(dict(trial.cell.parameters))
        self.draw, self.seed, self.strength = trial.draw, trial.seed, trial.strength
        fixed = {} if trial.arm is Arm.NONE else study.alignment.options
        self.options: Mapping[str, Any] = MappingProxyType({**fixed, **dict(trial.options)})
        self.arm, self.stage = trial.arm, trial.stage
        self.epochs: int | None = trial.epochs or None
        self.device = device
        self._study, self._place = study, Place(output, trial)
        self.folder: Path = self._place.folder
        self._penalty = Penalty(
            study.alignment.loss,
            {**study.alignment.options, **dict(trial.options)},
            trial.arm,
            trial.strength,
            (study.seed, trial.draw, trial.seed),
        )
        self._logged: dict[int, dict[str, float]] = {}
        self._measured: Values = {}
        self._followed: float | None = None

    def penalty(self, *representations: torch.Tensor) -> torch.Tensor:
        """What to add to the task loss of a batch.

        In arm ``forced`` it is strength x loss; in ``placebo`` the same on pairs that are shuffled
        within the batch; in ``none`` 0 exactly, which still allows ``backward()``.

        Args:
            *representations: [b, d] of each modality, row i of all the same sample; two or more.

        Returns:
            One number, in their dtype. On a batch where the loss is undefined it is 0.

        Raises:
            InputError: shapes that do not fit, or a loss that learns (see `parameters`) and does
                not reach an optimizer.
        """
        return self._penalty(*representations)

    def parameters(self, *widths: int) -> list[torch.nn.Parameter]:
        """What the alignment loss learns itself, for the optimizer; mostly nothing.

        Args:
            *widths: features of each modality, for a loss with projections that hang on them.

        Raises:
            InputError: the widths are needed, or the loss cannot compare them.
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
        """
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
            raise TrialError(f"trial.log: epoch is {epoch!r}; expected a whole number, 0 or more")
        halving = self._study.search.halving
        if halving is not None and epoch > halving.epochs[-1]:
            raise TrialError(
                f"trial.log: epoch {epoch}, and search.halving.epochs ends at "
                f"{halving.epochs[-1]}; its last number is the epochs of a whole trial"
            )
        point = {name: _number(value, f"trial.log: {name}") for name, value in metrics.items()}
        if self._followed is not None:
            point.setdefault("alignment", self._followed)
            self._followed = None
        self._logged[epoch] = point
        self._place.note(epoch, point)
        return self.epochs is None or epoch < self.epochs

    def measure(self, split: str, *representations: object) -> dict[str, float]:
        """All alignment metrics of the study, on a split, for the trial's row.

        Args:
            split: ``validation`` (what a search may go by) or ``test``.
            *representations: [n, d] of each modality, tensors or arrays, row i of all the same
                sample. Of more than ``evaluation.rows`` as many are chosen, always the same ones.

        Returns:
            Metric -> its value, NaN where it is undefined; chance and the value corrected for it
            are in the row, where the study calibrates. A split that is measured again is replaced.

        Raises:
            InputError: an unknown split, or shapes that do not fit.
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
        rows = evaluate.some_rows(np.arange(len(layers[0])), split, evaluation.rows)
        chosen = [h[torch.from_numpy(rows).to(h.device)] for h in layers]
        with torch.no_grad():
            scores = evaluate.layer_scores(
                [[h[None]] for h in chosen], split, evaluation, [1] * len(chosen)
            )
        values = {name: float(score.value[0]) for name, score in scores.items()}
        lost = [name for name, value in values.items() if not math.isfinite(value)]
        why = words_of(lost, [bool((h == h[:1]).all()) for h in chosen])
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
        """
        kept = {
            "state": state,
            "logged": self._logged,
            "measured": self._measured,
            "penalty": self._penalty.state(),
            "random": random_states(),
        }
        self._place.keep(pack_state(kept))

    def load(self) -> Any:
        """The last state that was saved, with tensors on the CPU; None at a first start.

        What was logged and measured until then, and the random generators, are as they were.
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
        self._logged, self._measured = logged, kept["measured"]
        self._penalty.restore(kept["penalty"])
        restore_random_states(kept["random"])
        return kept["state"]

    def leave(self) -> None:
        """Called by raysweep when the trial has ended."""
        self._place.leave()

    def __repr__(self) -> str:
        cell = ", ".join(f"{name}={value}" for name, value in self.cell.items())
        return (
            f"TrialContext({cell or 'one cell'}; draw={self.draw}, seed={self.seed}, "
            f"strength={self.strength:g}, arm={self.arm}, stage={self.stage})"
        )


class Told:
    """What a trial has told, as its row needs it.

    Args:
        context: the trial's.
        returned: what its function returned; None where it has logged its metrics last.
        source: what it is called in messages.
    """

    def __init__(self, context: TrialContext, returned: object, source: str) -> None:
        self._context, self._source = context, source
        self.logged = dict(sorted(context._logged.items()))
        self.measured = dict(context._measured)
        self.penalty = context._penalty
        self.metrics = self._metrics(returned)

    def _metrics(self, returned: object) -> dict[str, float]:
        if returned is None:
            last = self.logged[max(self.logged)] if self.logged else {}
            return {name: value for name, value in last.items() if is_metric(name)}
        if not isinstance(returned, Mapping):
            raise TrialError(
                f"{self._source} returned {type(returned).__name__}; return a mapping of metrics, "
                "such as {'f1_validation': 0.8, 'f1_test': 0.8}"
            )
        for name in returned:
            if not isinstance(name, str) or not is_metric(name):
                raise TrialError(f"{self._source} returned a metric {name!r}; {METRIC_NAMES}")
        place = f"{self._source}: metric "
        return {name: _number(value, place + name) for name, value in returned.items()}

    def missing(self, study: TrialStudy, trial: Trial) -> str:
        """What the study needs of the trial and it has not told; empty where all is there."""
        wanted = []
        if not trial.epochs:
            wanted.append((study.verdict.performance, "verdict.performance"))
        if "performance" in study.criteria and trial.stage is Stage.SEARCH:
            wanted.append((study.searched_performance, "the search"))
        for name, by in dict(wanted).items():
            if name not in self.metrics:
                there = listed(self.metrics) or "none"
                return f"{self._source} returned no {name}, which {by} asks for (metrics: {there})"
        splits = []
        if "alignment" in study.criteria and trial.stage is Stage.SEARCH:
            splits.append(("validation", "search.objective"))
        if study.verdict.alignment is not None and not trial.epochs:
            splits.append(("test", "verdict.alignment"))
        for split, by in splits:
            if named("alignment", study.metric, split) not in self.measured:
                return (
                    f"{self._source} measured no alignment on the {split} split, which {by} asks "
                    f"for; call trial.measure({split!r}, h1, h2)"
                )
        return ""

    def diverged(self, study: TrialStudy, trial: Trial) -> str:
        """Which metric that the study needs is no finite number; empty where all are."""
        names = [study.verdict.performance, study.searched_performance]
        for name in dict.fromkeys(names):
            value = self.metrics.get(name, 0.0)
            if not math.isfinite(value):
                return f"{name} is {value:g}"
        return ""


METRIC_NAMES = (
    "name it with the split it is of, such as f1_validation or f1_test, and not as raysweep's own "
    "columns are (alignment_..., chance_..., n_test and so on)"
)


def is_metric(name: str) -> bool:
    """Whether a trial may give a metric of that name."""
    column = column_of(name)
    as_built_in = column.family in ("performance", "loss") and column.split in MEASURED_SPLITS
    return as_built_in or is_own_metric(name)


def _number(value: object, place: str) -> float:
    """A number of Python, NumPy or torch as a float; NaN and infinities, too."""
    plain = value
    if isinstance(value, torch.Tensor | np.ndarray | np.generic) and math.prod(value.shape) == 1:
        plain = value.item()
    if isinstance(plain, bool) or not isinstance(plain, Real):
        shown = str(value)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
        raise TrialError(f"{place} is {shown} ({type(value).__name__}); expected a number")
    return float(plain)


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


def facts_of(context: TrialContext) -> dict[str, Any]:
    """What a command is told of its trial, as JSON holds it."""
    return {
        "cell": dict(context.cell),
        "draw": context.draw,
        "seed": context.seed,
        "strength": context.strength,
        "options": dict(context.options),
        "arm": context.arm.value,
        "stage": context.stage.value,
        "epochs": context.epochs,
        "device": context.device,
        "folder": str(context.folder),
    }


def written(facts: Mapping[str, Any]) -> str:
    """Facts as the text of a file."""
    return json.dumps(facts, indent=1, sort_keys=True) + "\n"
