"""Groups of rows in a training of one's own."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from trial_contexts import Make, maker, pair

import raysweep
from raysweep.errors import InputError
from raysweep.kinds.trial.told import Told
from raysweep.metrics import Preprocessing, calibrate
from raysweep.seeds import derive_seed
from raysweep.trials.trial import Arm


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return maker(tmp_path)


def infonce(h1: torch.Tensor, h2: torch.Tensor, left_out: torch.Tensor) -> torch.Tensor:
    u, v = (torch.nn.functional.normalize(h, dim=1) for h in (h1, h2))
    logits = (u @ v.T / 0.1).masked_fill(left_out, -torch.inf)
    own = torch.arange(len(h1))
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def together(*sides: list[str]) -> torch.Tensor:
    n = len(sides[0])
    return torch.tensor(
        [[i != j and any(s[i] == s[j] for s in sides) for j in range(n)] for i in range(n)]
    )


COLD = {"options": {"temperature": 0.1}}


@pytest.mark.parametrize("negatives", ["other_groups", "all"])
def test_rows_of_a_group_are_no_negatives(make: Make, negatives: str) -> None:
    groups = ["a", "b", "a", "c", "b", "a"]
    h1, h2 = pair(6)
    penalty = make(alignment={**COLD, "negatives": negatives}).penalty(h1, h2, groups=groups)
    penalty.backward()
    h3, h4 = pair(6)
    mask = together(groups) if negatives != "all" else torch.zeros(6, 6, dtype=torch.bool)
    expected = 0.5 * infonce(h3, h4, mask)
    expected.backward()
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(h1.grad, h3.grad, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(h2.grad, h4.grad, rtol=1e-10, atol=1e-14)


def test_a_placebo_is_the_loss_of_pairs_of_other_groups(make: Make) -> None:
    """Found by trying all orders of a small batch."""
    groups = ["a", "b", "a", "c", "b", "a"]
    h1, h2 = pair(6)
    penalty = make(Arm.PLACEBO, alignment=COLD).penalty(h1, h2, groups=np.array(groups))
    found = [
        order
        for order in itertools.permutations(range(6))
        if math.isclose(
            0.5 * infonce(h1, h2[list(order)], together(groups, [groups[i] for i in order])).item(),
            penalty.item(),
        )
    ]
    assert len(found) == 1
    assert all(groups[i] != groups[j] for i, j in enumerate(found[0]))


def test_a_placebo_of_one_group_forces_nothing(make: Make) -> None:
    trial = make(Arm.PLACEBO)
    assert trial.penalty(*pair(6), groups=[3] * 6).item() == 0
    assert Told(trial, {"f1_test": 1}, "f").measured is not None


def test_groups_that_do_not_fit_are_told(make: Make) -> None:
    with pytest.raises(InputError, match=r"trial.penalty: groups have shape \[2\], expected \[6\]"):
        make().penalty(*pair(6), groups=[1, 2])
    with pytest.raises(InputError, match=r"trial.measure: groups are float64"):
        make().measure("test", *pair(6), groups=np.zeros(6))


def test_measure_takes_neighbours_and_chance_of_other_groups(make: Make) -> None:
    evaluation = {"metrics": {"mutual_knn": {"topk": 3}}, "rows": 64, "calibrate": 19}
    trial = make(evaluation=evaluation)
    h1, h2 = (h.detach().numpy() for h in pair(48))
    groups = np.arange(48) // 4
    values = trial.measure("test", h1, h2, groups=groups)
    given = {"topk": 3, "groups": groups, "preprocessing": Preprocessing(0.95, True)}
    assert values["mutual_knn"] == raysweep.measure("mutual_knn", h1, h2, **given)
    seed = derive_seed("calibration", "test")
    found = calibrate("mutual_knn", h1, h2, permutations=19, seed=seed, **given)
    told = Told(trial, {"f1_test": 1}, "f").measured
    assert told["chance_p_mutual_knn_test"] == float(found.p_value)
