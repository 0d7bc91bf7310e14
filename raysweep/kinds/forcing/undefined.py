"""Why a metric of alignment has no value for a member."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from raysweep.data.views import Views
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.metrics.undefined import same_rows, words_of
from raysweep.models.trained import MultimodalForward, TrainedPack
from raysweep.study.spec import Evaluation
from raysweep.training.alignment_scores import AlignmentScore
from raysweep.training.evaluate import stacked
from raysweep.training.measured_rows import alignment_rows, on_equal_rows


def undefined_words(
    study: ForcingStudy,
    trained: TrainedPack,
    views: Sequence[Views],
    split: str,
    scores: Mapping[str, AlignmentScore],
) -> list[str]:
    """Why a metric of alignment is undefined on the split, in words for each member."""
    missing = {name: ~np.isfinite(score.value) for name, score in scores.items()}
    apart = [[*of] for of in zip(*(s.apart for s in scores.values() if s.apart), strict=True)]
    apart = apart or [[] for _ in trained.dataset]
    if not any(lost.any() for lost in missing.values()):
        return [words_of([], [], of) for of in apart]
    constant = _constant_layers(trained, views, split, study.evaluation, study.aligned_layer)
    words = []
    for i in range(len(trained.dataset)):
        lost = [name for name, of_metric in missing.items() if of_metric[i]]
        words.append(words_of(lost, [bool(of[i]) for of in constant], apart[i]))
    return words


def _constant_layers(
    trained: MultimodalForward,
    views: Sequence[Views],
    split: str,
    evaluation: Evaluation,
    aligned: int | None = None,
) -> list[np.ndarray]:
    """For each modality whether all layers that `alignment` measures are constant, bool [m]."""
    chosen = [alignment_rows(view, split, evaluation.rows) for view in views]
    parts = [
        _constant_on(own, of_views, rows, evaluation, aligned)
        for own, of_views, rows in on_equal_rows(trained, views, chosen)
    ]
    return [np.concatenate(of_modality) for of_modality in zip(*parts, strict=True)]


def _constant_on(
    trained: MultimodalForward,
    views: Sequence[Views],
    rows: Sequence[np.ndarray],
    evaluation: Evaluation,
    aligned: int | None,
) -> list[np.ndarray]:
    constant = []
    for modality, x in enumerate(stacked(views, rows, slice(None)), start=1):
        hidden = trained.forward(modality, x)[0]
        if evaluation.layers != "best":
            named = aligned if evaluation.layers == "aligned" else None
            hidden = hidden[(named or len(hidden)) - 1 :][:1]
        same = [same_rows(h.transpose(1, 2)) for h in hidden]
        constant.append(torch.stack(same).all(dim=0).cpu().numpy())
    return constant
