"""The packed trainer on the CPU, member by member, through the compiled kernel."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numba import from_dtype

from raysweep.losses import AlignmentLoss, OverPairs
from raysweep.models.shape import MultimodalShape
from raysweep.training.denormals import denormals
from raysweep.training.engine import AlignedMembers, EpochLog
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.kernel import pack
from raysweep.training.kernel.program import (
    Places,
    backward_program,
    forward_program,
    head_program,
    lay_out,
    score_program,
)
from raysweep.training.kernel.term import NO_TERM
from raysweep.training.kernel.vectors import VECTOR_BYTES
from raysweep.training.kernel_losses import KernelLoss
from raysweep.training.passes import squared_norm


@dataclass(frozen=True)
class _Split:
    data: pack.SplitData
    count: int

    @classmethod
    def of(cls, inputs: tuple[np.ndarray, ...], y: np.ndarray, dtype: np.dtype) -> "_Split":
        sides = []
        for x in inputs:
            values = np.asarray(x)
            k, n, d = values.shape
            # The kernel reads whole vectors, past the last sample too.
            flat = np.zeros((k, n * d + VECTOR_BYTES // dtype.itemsize), dtype)
            flat[:, : n * d] = values.reshape(k, n * d)
            sides.append(flat)
        labels = np.ascontiguousarray(y, dtype=np.int32)
        # An encoder that is trained alone has a second modality without features.
        return cls(pack.SplitData(sides[0], sides[-1], labels), labels.shape[1])


class KernelEngine:
    """Trains the members one by one, each batch from gathering to update in cache.

    Tasks, and the alignment losses that `kernel_term` knows, stay in compiled code for a whole
    epoch; for any other loss the kernel stops in every step, after the forward pass, and asks it.
    So it does where what the loss sees depends on which rows belong together: of a loss with
    negatives, and of shuffled pairs. A member's result is the same to the last bit in any pack.

    Args:
        shape: the members' shape.
        members: their seeds and hyperparameters.
        data: the datasets.
        settings: how to train.
        loss: the alignment loss; encoders that are trained alone, at strength 0, never ask it.
        parameters: initial parameters [m, P + alignment parameters] of the settings' dtype, on
            the CPU; changed in place.
    """

    members_are_separate = True

    def __init__(
        self,
        shape: MultimodalShape,
        members: Members,
        data: PackData,
        settings: TrainSettings,
        loss: AlignmentLoss,
        parameters: torch.Tensor,
    ) -> None:
        self._shape = shape
        self.heads = shape.heads
        self._settings = settings
        self._loss = loss
        values = parameters.numpy()
        self._dtype = values.dtype
        self._train = _Split.of(data.sides("train"), data.y_train, self._dtype)
        self._validation = _Split.of(data.sides("validation"), data.y_validation, self._dtype)
        state = np.zeros((4, *values.shape), self._dtype)
        state[0] = values
        facts = np.zeros(len(values), pack.MEMBER)
        for name in ("learning_rate", "weight_decay", "clip_norm", "strength", "placebo"):
            facts[name] = getattr(members, name)
        facts["dataset"] = data.dataset
        self._held = pack.MemberState(state, facts)
        rows = max(self._train.count, self._validation.count)
        size = min(settings.batch_size, rows)
        self._places = places = lay_out(shape, values.shape[1], size, self._dtype)
        known = None
        if members.strength.any():
            known = KernelLoss.of(loss, shape, size, self._dtype)
        self._groups = data.groups_train
        self._asked = known is None
        if known is not None and self._groups is not None and settings.negatives != "all":
            self._asked = known.formula.negatives
        self._term = NO_TERM
        pack.load(element := from_dtype(self._dtype))
        if known is not None:
            address = known.routine.load(element)
            self._term = known.term(address, places, shape.parameter_count)
        self._step = _step(shape, places, values.shape[1], settings.fusion == "joint")
        self._scratch = self._new_scratch(1)
        self._done = 0
        self._bind()

    @property
    def parameters(self) -> torch.Tensor:
        """The members' current parameters, [m, P + alignment parameters]."""
        return torch.from_numpy(self._held.state[0])

    @property
    def gradients(self) -> torch.Tensor:
        """The last step's gradients after clipping, [m, P + alignment parameters]."""
        return torch.from_numpy(self._held.state[1])

    def keep(self, members: torch.Tensor) -> None:
        """Go on with these members (int64 indices) only."""
        rows = members.numpy()
        held = self._held
        self._held = pack.MemberState(held.state[:, rows].copy(), held.members[rows])
        self._bind()

    def _bind(self) -> None:
        """Who is trained in compiled code throughout, and whose loss has to be asked."""
        facts = self._held.members
        everyone = np.arange(len(facts))
        asked = self._asked | ((self._groups is not None) & (facts["placebo"] > 0))
        self._staged = np.flatnonzero(asked & (facts["strength"] > 0))
        self._straight = np.setdiff1d(everyone, self._staged)
        if len(self._staged):
            asked = facts[self._staged]
            self._aligned = AlignedMembers.of(
                torch.from_numpy(asked["strength"].astype(self._dtype)),
                torch.from_numpy(asked["placebo"].copy()),
            )
            self._staged_scratch = self._new_scratch(len(self._staged))

    @denormals(flushed=True)
    def train_epoch(self, permutations: torch.Tensor, stream: torch.Tensor) -> EpochLog:
        """See `PackEngine.train_epoch`."""
        seen = np.zeros(len(stream), pack.SEEN)
        order = permutations.numpy()
        self._held.members["stream"] = stream.numpy()
        if len(self._straight):
            self._advance(pack.WHOLE, self._straight, self._scratch, order, 0, order.shape[1], seen)
        if len(self._staged):
            self._train_staged(order, seen)
        self._done += -(-order.shape[1] // self._settings.batch_size)
        defined = np.where(seen["defined"] > 0, seen["defined"], np.nan)
        return EpochLog(
            task_loss=torch.from_numpy(seen["task"].copy()),
            fused_loss=torch.from_numpy(seen["fused"].copy()),
            alignment_loss=torch.from_numpy(seen["alignment"] / defined),
            failed_step=torch.from_numpy(seen["failed"].copy()),
            forced_steps=torch.from_numpy(seen["forced"].copy()),
            task_gradient=torch.from_numpy(seen["task_square"].copy()),
            alignment_gradient=torch.from_numpy(seen["alignment_square"].copy()),
        )

    def _train_staged(self, order: np.ndarray, seen: np.ndarray) -> None:
        """An epoch of the members whose loss has to be asked in every step."""
        size, n = self._settings.batch_size, order.shape[1]
        scratch, chosen, places = self._staged_scratch, self._staged, self._places
        arenas = torch.from_numpy(scratch.mem)
        sides = [_columns(arenas, side.top, side.width, places.stride) for side in places.towers]
        slopes = [
            _columns(arenas, side.at_top, side.width, places.stride) for side in places.towers
        ]
        count, end = self._shape.parameter_count, self._held.state.shape[2]
        own = arenas[:, count:end]
        at_own = arenas[:, places.gradients + count : places.gradients + end]
        for start in range(0, n, size):
            b = min(size, n - start)
            stop = start + b
            self._advance(pack.START, chosen, scratch, order, start, stop, seen)
            compared = [side[:, :, :b] for side in sides]
            output = self._aligned.evaluate(
                OverPairs(self._loss),
                compared,
                own,
                self._groups_of(order[:, start:stop]),
                self._settings.negatives == "all",
            )
            for slope, gradient in zip(slopes, output.gradients, strict=True):
                slope[:, :, :b] += gradient
            at_own += output.grad_parameters
            value = output.value.numpy().astype(np.float64)
            defined = ~np.isnan(value)
            seen["alignment"][chosen] += np.where(defined, value, 0.0) * b / n
            seen["defined"][chosen] += defined * (b / n)
            squares = squared_norm(*output.gradients).numpy()
            seen["forced"][chosen] += defined & (squares > 0)
            if start == 0:
                seen["alignment_square"][chosen] += squares
            self._advance(pack.FINISH, chosen, scratch, order, start, stop, seen)

    def _groups_of(self, order: np.ndarray) -> torch.Tensor | None:
        """The groups [a, b] of the staged members' rows in a batch; None where there are none.

        Args:
            order: [streams, b], the batch of each order of the rows.
        """
        if self._groups is None:
            return None
        facts = self._held.members[self._staged]
        rows = order[facts["stream"]]
        return torch.from_numpy(self._groups[facts["dataset"][:, None], rows].astype(np.int64))

    def _advance(
        self,
        phase: int,
        chosen: np.ndarray,
        scratch: pack.Scratch,
        order: np.ndarray,
        begin: int,
        end: int,
        seen: np.ndarray,
    ) -> None:
        pack.advance(
            self._held,
            chosen,
            self._step,
            scratch,
            self._train.data,
            order,
            phase,
            begin,
            end,
            self._settings.batch_size,
            self._done,
            self._term,
            seen,
        )

    def validate(self) -> torch.Tensor:
        """See `PackEngine.validate`."""
        correct = np.zeros((3, len(self._held.members)))
        order = np.arange(self._validation.count, dtype=np.int32)
        pack.count_correct(
            self._held,
            self._step,
            self._scratch,
            self._validation.data,
            order,
            self._places.columns,
            correct,
        )
        return torch.from_numpy(correct[: len(self.heads)] / self._validation.count)

    def _new_scratch(self, slots: int) -> pack.Scratch:
        return pack.Scratch(
            mem=_aligned((slots, self._places.arena.size), self._dtype),
            labels=np.zeros((slots, self._places.stride), np.int32),
            losses=np.zeros((slots, 3)),
        )


def _aligned(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Zeros that begin where a vector does: one across two cache lines costs twice as much."""
    raw = np.zeros(math.prod(shape) * dtype.itemsize + VECTOR_BYTES, np.uint8)
    begin = -raw.ctypes.data % VECTOR_BYTES
    return raw[begin : begin + math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)


def _columns(arenas: torch.Tensor, at: int, width: int, stride: int) -> torch.Tensor:
    """A matrix of every arena, [slots, width, stride]."""
    return arenas[:, at : at + width * stride].unflatten(1, (width, stride))


def _step(shape: MultimodalShape, places: Places, count: int, joint: bool) -> pack.Step:
    forward = forward_program(shape, places)
    spans = shape.spans(count - shape.parameter_count)
    first, second = places.towers[0], places.towers[-1]
    # Without a second tower there is nothing to gather for it and nothing to sum over.
    paired = len(places.towers) > 1
    return pack.Step(
        learn=np.concatenate((forward, head_program(shape, places, joint))),
        backward=backward_program(places),
        score=np.concatenate((forward, score_program(shape, places))),
        group_ends=np.array([span.stop for span in spans], dtype=np.int64),
        spared=shape.parameter_count,
        gradients=places.gradients,
        inputs_1=first.levels[0],
        inputs_2=second.levels[0],
        d1=first.inputs,
        d2=second.inputs if paired else 0,
        at_1=first.at_top,
        at_2=second.at_top,
        width_1=first.width,
        width_2=second.width if paired else 0,
        block=places.block,
        stride=places.stride,
    )
