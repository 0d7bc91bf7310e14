"""A trained pack -> performance and alignment of every member on a named split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from raysweep.data.views import JointInputs, Population, Views
from raysweep.metrics import Calibration
from raysweep.metrics.features import equal_rows
from raysweep.models.trained import MultimodalForward, TrainedPack
from raysweep.study.spec import Evaluation
from raysweep.training.alignment_scores import AlignmentScore, layer_scores
from raysweep.training.inputs import stacked_presence
from raysweep.training.measured_rows import alignment_rows, on_equal_rows, row_groups

_CHUNK_BYTES = 2**24
_LEAST_CHUNK_ROWS = 64
_ALIGNMENT_BYTES = 2**25
# A layer, preprocessed, made fit for a metric and prepared by it: up to three times in float64.
_BYTES_A_FEATURE = 30
_JOINT_ROWS = 2**14
"""Joint inputs whose fused logits are held at once."""


@dataclass(frozen=True)
class Performance:
    """What the heads of every member reach on a split.

    Attributes:
        accuracy: head (``1``, ``2``, ..., ``fused``) -> [m] float64 in 0..1.
        loss: head -> [m] float64, mean cross-entropy in nats.
    """

    accuracy: dict[str, np.ndarray]
    loss: dict[str, np.ndarray]


def performance(trained: TrainedPack, views: Sequence[Views], split: str) -> Performance:
    """Accuracy and cross-entropy on the rows of a split, as `told_rows` says.

    Args:
        trained: the members.
        views: the k datasets of the pack, equally long, of classes.
        split: train, validation or test.
    """
    m, heads = len(trained.dataset), trained.shape.heads
    told = {head: torch.from_numpy(rows) for head, rows in told_rows(trained, views, split).items()}
    hits = {head: torch.zeros(m, dtype=torch.float64) for head in heads}
    losses = {head: torch.zeros(m, dtype=torch.float64) for head in heads}
    start = 0
    for y, by_head in logits_of(trained, views, split):
        for head, logits in by_head.items():
            of_part = told[head][:, start : start + y.shape[1]]
            hits[head] += ((logits.argmax(dim=1) == y) & of_part).sum(dim=1)
            chosen = log_softmax(logits.double(), dim=1).gather(1, y[:, None, :])
            losses[head] -= (chosen * of_part[:, None]).sum(dim=(1, 2))
        start += y.shape[1]
    return Performance(
        {head: (hits[head] / told[head].sum(dim=1)).numpy() for head in heads},
        {head: (losses[head] / told[head].sum(dim=1)).numpy() for head in heads},
    )


def told_rows(
    trained: MultimodalForward, views: Sequence[Views], split: str
) -> dict[str, np.ndarray]:
    """On which rows of a split each head is judged: head -> bool [m, n].

    That of one modality on the rows that have it, the fused one on all rows: what a row lacks is
    zeros to it.
    """
    present = stacked_presence(views, split)
    if present is None:
        shape = len(views), len(getattr(views[0].splits, split)), len(views[0].inputs)
        present = np.ones(shape, dtype=bool)
    of_members = present[trained.dataset]
    every = np.ones(of_members.shape[:2], dtype=bool)
    sides = [of_members[:, :, k] for k in range(of_members.shape[2])]
    return dict(zip(trained.shape.heads, [*sides, every], strict=False))


def logits_of(
    trained: TrainedPack, views: Sequence[Views], split: str
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """The rows of a split in parts: labels [m, n], and of each head outputs [m, c, n] on the CPU.

    The outputs are logits; a label that is a number is in its own unit, of which they predict the
    standardized value. Labels of which a row may have several, and ranks, are [m, n, c].
    """
    rows = [getattr(v.splits, split) for v in views]
    of_views = [v.told for v in views]
    labels = torch.as_tensor(np.stack([y[r] for y, r in zip(of_views, rows, strict=True)]))
    present = stacked_presence(views, split)
    there = None if present is None else torch.from_numpy(present).to(trained.parameters)
    for part in _chunks(trained, labels.shape[1]):
        of_part = None if there is None else there[trained.dataset, part].movedim(2, 0)
        found = _logits(trained, stacked(views, rows, part), of_part)
        y = labels[trained.dataset][:, part]
        yield y, {head: logits.cpu() for head, logits in found.items()}


def population_performance(trained: TrainedPack, views: Sequence[Views]) -> Performance | None:
    """Expected accuracy and cross-entropy over all inputs, weighted by their probability.

    Free of test noise: every input of each modality is run once, and the label's conditional
    distribution takes the place of sampled labels.

    Returns:
        None if no dataset's inputs can be listed. NaN for members whose dataset's cannot, in the
        fused head for those whose joint inputs cannot; without that head if no dataset's can.
    """
    # Listed inputs are stacked where there are equally many of them.
    alike: dict[tuple[int, ...], list[int]] = {}
    for which, view in enumerate(views):
        if view.population is not None:
            sizes = tuple(len(x) for x in view.population.inputs)
            alike.setdefault(sizes, []).append(which)
    if not alike:
        return None
    m = len(trained.dataset)
    found = Performance({}, {})
    for of_size in alike.values():
        members = np.flatnonzero(np.isin(trained.dataset, of_size))
        populations = [views[which].population for which in of_size]
        dataset = np.searchsorted(of_size, trained.dataset[members])
        fused, own = (
            MultimodalForward(trained.shape, dataset, parameters[members])
            for parameters in (trained.parameters, trained.own_parameters)
        )
        performance = _on_populations(fused, own, [p for p in populations if p is not None])
        for mine, all_members in (
            (performance.accuracy, found.accuracy),
            (performance.loss, found.loss),
        ):
            for head, values in mine.items():
                all_members.setdefault(head, np.full(m, np.nan))[members] = values
    return found


def _on_populations(
    trained: MultimodalForward, own: MultimodalForward, populations: Sequence[Population]
) -> Performance:
    """`population_performance` of members whose datasets all have inputs that are listed."""
    m = len(trained.dataset)
    modalities = range(len(populations[0].inputs))
    inputs = [np.stack([p.inputs[i] for p in populations]) for i in modalities]
    logits = [_head_logits(own, i, x) for i, x in enumerate(inputs)]
    accuracy = {str(i + 1): np.zeros(m) for i in modalities}
    loss = {str(i + 1): np.zeros(m) for i in modalities}
    fused: list[np.ndarray] = []
    if any(population.joint is not None for population in populations):
        accuracy["fused"], loss["fused"] = np.full(m, np.nan), np.full(m, np.nan)
        fused = [_fused_parts(trained, i, x) for i, x in enumerate(inputs)]
    for member, which in enumerate(trained.dataset):
        population = populations[which]
        for i in modalities:
            accuracy[str(i + 1)][member], loss[str(i + 1)][member] = _expected(
                logits[i][member], population.margins[i]
            )
        if population.joint is not None:
            parts = [part[member] for part in fused]
            accuracy["fused"][member], loss["fused"][member] = _expected_jointly(
                parts, population.joint
            )
    return Performance(accuracy, loss)


def _expected_jointly(parts: Sequence[np.ndarray], joint: JointInputs) -> tuple[float, float]:
    """`_expected` of the fused head; parts are its logits [p, c] of each modality's inputs."""
    accuracy = loss = 0.0
    for start in range(0, len(joint.weight), _JOINT_ROWS):
        rows = slice(start, start + _JOINT_ROWS)
        logits = sum(
            (part[pair[rows]] for part, pair in zip(parts[1:], joint.pairs[1:], strict=True)),
            start=parts[0][joint.pairs[0][rows]],
        )
        table = joint.weight[rows, None] * joint.conditional[rows]
        right, surprise = _expected(logits, table)
        accuracy += right
        loss += surprise
    return accuracy, loss


def _expected(logits: np.ndarray, joint: np.ndarray) -> tuple[float, float]:
    """Accuracy and cross-entropy of logits [p, c] of inputs whose p(input, label) is [p, c]."""
    predicted = logits.argmax(axis=1)[:, None]
    right = np.take_along_axis(joint, predicted, axis=1).sum()
    return float(right), -float((joint * scipy.special.log_softmax(logits, axis=1)).sum())


def alignment(
    trained: MultimodalForward,
    views: Sequence[Views],
    split: str,
    evaluation: Evaluation,
    aligned: int | None = None,
) -> dict[str, AlignmentScore]:
    """Every metric of the study on the `alignment_rows` of a split.

    ``layers: last`` compares the representations, ``layers: best`` takes the best over all pairs of
    layers, under permuted rows, too. ``layers: aligned`` compares the layer that the loss compared:
    ``aligned``, counted from 1, or the representations if None.
    """
    chosen = [alignment_rows(view, split, evaluation.rows) for view in views]
    # Members are measured one by one anyway; what is held at a time is bounded.
    parts = [
        _alignment_of(members, of_views, rows, split, evaluation, aligned)
        for own, of_views, rows in on_equal_rows(trained, views, chosen)
        for members in _few_members(own, len(rows[0]))
    ]
    if len(parts) == 1:
        return parts[0]
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _few_members(trained: MultimodalForward, rows: int) -> list[MultimodalForward]:
    """The members in slices whose layers, with the copies that metrics make, fit the budget."""
    shape, m = trained.shape, len(trained.dataset)
    units = sum(depth * width for depth, width in zip(shape.depths, shape.widths, strict=True))
    # An encoder's intermediate results are there before its layers are prepared.
    passed = shape.activations * trained.parameters.element_size()
    size = max(_ALIGNMENT_BYTES // (rows * max(units * _BYTES_A_FEATURE, passed)), 1)
    slices = [slice(start, start + size) for start in range(0, m, size)]
    return [MultimodalForward(shape, trained.dataset[s], trained.parameters[s]) for s in slices]


def _joined(parts: Sequence[AlignmentScore]) -> AlignmentScore:
    """The scores of slices of the members, one after another."""
    calibrations = [part.calibration for part in parts if part.calibration is not None]
    counts = [part.distinct for part in parts if part.distinct is not None]
    return AlignmentScore(
        np.concatenate([part.value for part in parts]),
        tuple(layers for part in parts for layers in part.layers),
        {pair: np.concatenate([part.pairs[pair] for part in parts]) for pair in parts[0].pairs},
        tuple(map(np.concatenate, zip(*counts, strict=True))) if counts else None,
        Calibration.joined(calibrations) if calibrations else None,
        tuple(words for part in parts for words in part.apart),
    )


def _alignment_of(
    trained: MultimodalForward,
    views: Sequence[Views],
    chosen: Sequence[np.ndarray],
    split: str,
    evaluation: Evaluation,
    aligned: int | None,
) -> dict[str, AlignmentScore]:
    """`alignment` of a few members on these rows."""
    hidden = [
        alike_where_inputs_are(trained.forward(modality, x)[0], x, trained.dataset)
        for modality, x in enumerate(stacked(views, chosen, slice(None)), start=1)
    ]
    lowest = [1] * len(hidden)
    if evaluation.layers != "best":
        named = aligned if evaluation.layers == "aligned" else None
        lowest = [named or len(of_modality) for of_modality in hidden]
        hidden = [h[first - 1 : first] for h, first in zip(hidden, lowest, strict=True)]
    by_rows = [[layer.mT.contiguous() for layer in of_modality] for of_modality in hidden]
    groups = row_groups(views[0], chosen[0])
    return layer_scores(by_rows, split, evaluation, lowest, groups)


def alike_where_inputs_are(
    hidden: Sequence[Tensor], inputs: Tensor, dataset: np.ndarray
) -> list[Tensor]:
    """Hidden layers [m, width, n] with equal numbers for samples of equal inputs [k, n, d].

    A stacked product may round equal columns differently, by where they stand in it. Metrics take
    every stored number at its word, so the samples that are the same are made so here, where it is
    known which they are, and not by a tolerance that would also merge different ones.
    """
    # What the network sees: other inputs may be equal in its dtype.
    first = [equal_rows(of_dataset.to(hidden[0])) for of_dataset in inputs]
    if all(len(rows) == inputs.shape[1] for rows, _ in first):
        return list(hidden)
    source = torch.from_numpy(np.stack([rows[group] for rows, group in first])[dataset])
    source = source.to(hidden[0].device)[:, None]
    return [layer.gather(2, source.expand_as(layer)) for layer in hidden]


def _head_logits(trained: MultimodalForward, index: int, inputs: np.ndarray) -> np.ndarray:
    """Logits [m, p, c] float64 of a modality's own head, of inputs [k, p, d]."""
    parts = [
        trained.forward(index + 1, torch.as_tensor(inputs[:, rows]))[1].mT.double().cpu().numpy()
        for rows in _chunks(trained, inputs.shape[1])
    ]
    return np.concatenate(parts, axis=1)


def _fused_parts(trained: MultimodalForward, index: int, inputs: np.ndarray) -> np.ndarray:
    """What the modality adds to the fused logits, [m, p, c] float64, of inputs [k, p, d].

    The fused head is linear: its logits of a joint input are one part per modality, added up. The
    bias belongs to the part of modality 1 (index 0).
    """
    parts = []
    for rows in _chunks(trained, inputs.shape[1]):
        hidden, _ = trained.forward(index + 1, torch.as_tensor(inputs[:, rows]))
        h = hidden[-1]
        nothing = [h.new_zeros(h.shape[0], width, h.shape[2]) for width in trained.shape.widths]
        part = trained.fused(*nothing[:index], h, *nothing[index + 1 :])
        if index > 0:
            part = part - trained.fused(*nothing)
        parts.append(part.mT.double().cpu().numpy())
    return np.concatenate(parts, axis=1)


def _chunks(trained: MultimodalForward, rows: int) -> list[slice]:
    """Slices of the rows whose activations fit the memory budget together."""
    shape = trained.shape
    numbers = shape.activations + len(shape.heads) * shape.classes + sum(shape.inputs)
    numbers *= len(trained.dataset)
    size = max(_CHUNK_BYTES // (numbers * trained.parameters.element_size()), _LEAST_CHUNK_ROWS)
    return [slice(start, start + size) for start in range(0, rows, size)]


def _logits(
    trained: TrainedPack, inputs: Sequence[Tensor], present: Tensor | None
) -> dict[str, Tensor]:
    """Outputs of all heads; a modality that a row lacks (`present` 0) is zeros to the fused one."""
    own = trained.own
    logits = [own.forward(modality, x)[1] for modality, x in enumerate(inputs, start=1)]
    if trained.shape.fused_head is not None:
        ran = [trained.forward(modality, x)[0] for modality, x in enumerate(inputs, start=1)]
        tops = [hidden[-1] for hidden in ran]
        if present is not None:
            tops = [top * there[:, None] for top, there in zip(tops, present, strict=True)]
        logits.append(trained.fused(*tops))
    return dict(zip(trained.shape.heads, logits, strict=True))


def stacked(views: Sequence[Views], rows: Sequence[np.ndarray], part: slice) -> list[Tensor]:
    """Some rows of each modality, [k, n, d]."""
    chosen = [(view.inputs, of_view[part]) for view, of_view in zip(views, rows, strict=True)]
    return [
        torch.as_tensor(np.stack([inputs[index][own] for inputs, own in chosen]))
        for index in range(len(views[0].inputs))
    ]
