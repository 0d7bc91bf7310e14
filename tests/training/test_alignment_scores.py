"""Alignment of representations that are constant up to rounding."""

import numpy as np
import pytest
import torch

from raysweep.metrics import REGISTRY
from raysweep.study.spec import Evaluation
from raysweep.training.alignment_scores import layer_scores

N, WIDTH = 24, 8


def rounded_row(dtype: torch.dtype, seed: int) -> torch.Tensor:
    """One representation, computed for every sample by a sum in another order: [n, d]."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(32, WIDTH, dtype=dtype, generator=generator)
    row = torch.rand(32, dtype=dtype, generator=generator)
    orders = [torch.randperm(32, generator=generator) for _ in range(N)]
    layer = torch.stack([row[order] @ weights[order] for order in orders])
    assert len(torch.unique(layer, dim=0)) > N // 2
    return layer


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("silent", [(True, False), (False, True), (True, True)])
def test_no_metric_takes_rounding_for_alignment(
    dtype: torch.dtype, normalize: bool, silent: tuple[bool, bool]
) -> None:
    generator = torch.Generator().manual_seed(5)
    lively = [torch.randn(N, WIDTH, dtype=dtype, generator=generator) for _ in range(2)]
    noise = [rounded_row(dtype, seed) for seed in (1, 2)]
    first = [
        still if is_still else h for still, is_still, h in zip(noise, silent, lively, strict=True)
    ]
    metrics: dict[str, dict] = {name: {} for name in REGISTRY}
    evaluation = Evaluation.model_validate(
        {"metrics": metrics, "preprocessing": {"normalize": normalize}}
    )
    hidden = [[torch.stack(of_members)] for of_members in zip(first, lively, strict=True)]
    alone = [[layer[1:] for layer in of] for of in hidden]
    scores = layer_scores(hidden, "test", evaluation, [1, 1])
    expected = layer_scores(alone, "test", evaluation, [1, 1])
    for name, score in scores.items():
        assert np.isnan(score.value[0]), name
        assert score.value[1] == expected[name].value[0], name
        if score.distinct is not None:
            counts = [int(of_modality[0]) for of_modality in score.distinct]
            assert [count == 1 for count in counts] == list(silent)
