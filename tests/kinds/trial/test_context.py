"""The verbs of a trial of one's own: penalty, log, measure, save and load."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from trial_contexts import Make, maker, pair
from trial_runs import study

import raysweep
from raysweep.errors import InputError
from raysweep.kinds.trial.study import TrialStudy
from raysweep.kinds.trial.told import Told, TrialError
from raysweep.metrics import Preprocessing, calibrate_layers
from raysweep.seeds import derive_seed
from raysweep.study.cells import expand
from raysweep.trials.trial import Arm, Stage, Trial


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return maker(tmp_path)


COLD = {"options": {"temperature": 0.1}}


def infonce(h1: Tensor, h2: Tensor, temperature: float) -> Tensor:
    """The textbook: cross-entropy of each sample's own pair, both ways."""
    u, v = (torch.nn.functional.normalize(h, dim=1) for h in (h1, h2))
    logits = u @ v.T / temperature
    own = torch.arange(len(h1))
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def test_forced_is_strength_times_the_loss_with_its_gradients(make: Make) -> None:
    h1, h2 = pair()
    trial = make(alignment={"options": {"temperature": 0.2}})
    penalty = trial.penalty(h1, h2)
    (3 * penalty).backward()  # as beside a task loss that is scaled
    h3, h4 = pair()
    expected = 0.5 * infonce(h3, h4, 0.2)
    (3 * expected).backward()
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(h1.grad, h3.grad, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(h2.grad, h4.grad, rtol=1e-10, atol=1e-14)


def test_none_is_an_exact_zero_that_can_go_back(make: Make) -> None:
    h1, h2 = pair()
    with torch.no_grad():
        h1[0, 0] = math.inf
        h2[1, 0] = math.nan
    penalty = make(Arm.NONE).penalty(h1, h2)
    assert penalty.item() == 0.0
    penalty.backward()
    assert h1.grad is not None
    assert not h1.grad.any()
    assert h2.grad is not None
    assert not h2.grad.any()
    plain = make(Arm.NONE).penalty(h1.detach(), h2.detach())
    assert plain.item() == 0.0


def test_placebo_is_the_loss_of_pairs_of_which_none_is_true(make: Make) -> None:
    """Found by trying all orders of a small batch: the penalty is that of a derangement."""
    import itertools

    h1, h2 = pair(5)
    penalty = make(Arm.PLACEBO, alignment=COLD).penalty(h1, h2)
    penalty.backward()
    orders = {
        order: 0.5 * infonce(h1.detach(), h2.detach()[list(order)], 0.1).item()
        for order in itertools.permutations(range(5))
    }
    [order] = [o for o, value in orders.items() if math.isclose(value, penalty.item())]
    assert all(i != j for i, j in enumerate(order))
    h3, h4 = pair(5)
    (0.5 * infonce(h3, h4[list(order)], 0.1)).backward()
    torch.testing.assert_close(h1.grad, h3.grad, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(h2.grad, h4.grad, rtol=1e-10, atol=1e-14)


def test_placebo_shuffles_anew_in_every_step_and_alike_for_a_seed(make: Make) -> None:
    def values(seed: int) -> list[float]:
        trial = make(Arm.PLACEBO, seed=seed)
        return [trial.penalty(*pair(40)).item() for _ in range(4)]

    assert values(1) == values(1)
    assert values(1) != values(2)
    assert len(set(values(1))) == 4
    trial = make(Arm.PLACEBO)
    with torch.no_grad():  # a look in between changes nothing
        trial.penalty(*pair(40))
    assert trial.penalty(*pair(40)).item() == values(3)[0]


def test_three_modalities_are_forced_over_all_pairs_and_shuffled_apart(make: Make) -> None:
    hs = [*pair(), pair(seed=1)[0]]
    forced = make(alignment={"options": {"temperature": 0.2}})
    expected = [infonce(hs[a], hs[b], 0.2) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert forced.penalty(*hs).item() == pytest.approx(0.5 * sum(e.item() for e in expected) / 3)
    one_hot = [torch.eye(6, dtype=torch.float64).requires_grad_() for _ in range(3)]
    trial = make(Arm.PLACEBO, 1.0, alignment={"loss": "mse"})
    # Equal where two rows of a sample meet, and then some of the distance would be 0.
    assert trial.penalty(*one_hot).item() == pytest.approx(
        make(Arm.FORCED, 1.0, alignment={"loss": "mse"})
        .penalty(one_hot[0], one_hot[1][[1, 2, 3, 4, 5, 0]], one_hot[2][[2, 3, 4, 5, 0, 1]])
        .item()
    )


def test_a_learned_temperature_is_trained_with_the_rest(make: Make) -> None:
    options = {"temperature": 0.5, "learned": True}
    trial = make(strength=1.0, alignment={"options": options})
    with pytest.raises(InputError, match=r"hand trial.parameters\(5, 5\) to your optimizer"):
        trial.penalty(*pair())
    [own] = trial.parameters()
    h1, h2 = pair()
    trial.penalty(h1, h2).backward()
    assert own.grad is not None
    step = 1e-4
    with torch.no_grad():
        before = trial.penalty(h1, h2).item()
        own += step
        slope = (trial.penalty(h1, h2).item() - before) / step
    assert own.grad.item() == pytest.approx(slope, rel=1e-2)
    assert trial.parameters() == [own]
    assert make(Arm.NONE, alignment={"options": options}).parameters()[0] == own - step


def test_projections_need_the_widths(make: Make) -> None:
    options = {"projection": "linear"}
    with pytest.raises(InputError, match=r"give the widths of the representations"):
        make(alignment={"options": options}).parameters()
    trial = make(alignment={"options": options})
    [heads] = trial.parameters(5, 3)
    assert heads.numel() == 3 * 5 + 3 * 3
    h1, h2 = pair()[0], pair(d=3)[1]
    trial.penalty(h1, h2).backward()
    assert heads.grad is not None
    assert heads.grad.any()
    with pytest.raises(InputError, match="representations of 5, 5 features"):
        trial.penalty(*pair())


def test_a_loss_of_ones_own_is_forced_like_any_other(make: Make) -> None:
    trial = make(strength=2.0, alignment={"loss": "own_losses:distance"})
    h1, h2 = pair()
    import own_losses

    h3, h4 = pair()
    penalty, expected = trial.penalty(h1, h2), 2.0 * own_losses.distance(h3, h4)
    penalty.backward()
    expected.backward()
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(h1.grad, h3.grad)


def test_where_the_loss_is_undefined_nothing_is_forced_and_that_is_counted(make: Make) -> None:
    trial = make(alignment={"loss": "cka"})
    constant = torch.ones(8, 3, requires_grad=True)
    penalty = trial.penalty(constant, torch.randn(8, 3, requires_grad=True))
    penalty.backward()
    assert penalty.item() == 0.0
    assert constant.grad is not None
    assert not constant.grad.any()
    trial.penalty(*pair())
    told = Told(trial, {"f1_test": 1}, "f")
    assert (told.penalty.steps, told.penalty.unforced) == (2, 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_representations_of_any_precision(make: Make, dtype: torch.dtype) -> None:
    h1, h2 = (h.detach().to(dtype).requires_grad_() for h in pair())
    with torch.autocast("cpu", torch.bfloat16):
        penalty = make(alignment=COLD).penalty(h1, h2)
    penalty.backward()
    assert penalty.dtype == dtype
    assert h1.grad is not None
    assert h1.grad.dtype == dtype
    expected = 0.5 * infonce(*(h.detach().double() for h in (h1, h2)), 0.1).item()
    assert penalty.item() == pytest.approx(expected, rel=2e-2)


@pytest.mark.parametrize(
    ("hs", "message"),
    [
        ((torch.ones(4, 2),), "1 representations; give those of two"),
        ((torch.ones(4, 2), torch.ones(3, 2)), "different rows"),
        ((torch.ones(4, 2), torch.ones(4, 2).double()), "dtypes"),
        ((torch.ones(4, 2, 3), torch.ones(4, 2)), r"representation 1 is \[4, 2, 3\]"),
        ((torch.ones(4, 2), np.ones((4, 2))), "representation 2 is ndarray"),
        ((torch.ones(4, 2).int(), torch.ones(4, 2)), "floating-point"),
    ],
)
def test_what_cannot_be_aligned_is_told(make: Make, hs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make().penalty(*hs)


def test_measure_is_what_raysweep_measures(make: Make) -> None:
    evaluation = {
        "metrics": {"unbiased_cka": {}, "mutual_knn": {"topk": 3}},
        "rows": 64,
        "calibrate": 19,
    }
    trial = make(evaluation=evaluation)
    h1, h2 = (h.detach().numpy() for h in pair(50))
    values = trial.measure("test", h1, torch.from_numpy(h2))
    preprocessing = Preprocessing(0.95, True)
    for name, options in evaluation["metrics"].items():
        expected = raysweep.measure(name, h1, h2, preprocessing=preprocessing, **options)
        assert values[name] == pytest.approx(expected, rel=1e-12)
        chance = calibrate_layers(
            name,
            [torch.from_numpy(h1)[None]],
            [torch.from_numpy(h2)[None]],
            options,
            permutations=19,
            seed=derive_seed("calibration", "test"),
            preprocessing=preprocessing,
        )
        told = Told(trial, {"f1_test": 1}, "f").measured
        assert told[f"alignment_{name}_test"] == values[name]
        assert told[f"corrected_{name}_test"] == pytest.approx(float(chance.corrected[0]))
        assert told[f"chance_p_{name}_test"] == pytest.approx(float(chance.p_value[0]))
    assert told["undefined_test"] == ""
    assert "distinct_rows_1_test" in told


def test_measure_takes_some_rows_and_says_what_is_undefined(make: Make) -> None:
    trial = make(evaluation={"metrics": ["unbiased_cka"], "rows": 20})
    h1, h2 = pair(50)
    first = trial.measure("validation", h1, h2)
    assert first == trial.measure("validation", h1, h2)
    assert first != make(evaluation={"metrics": ["unbiased_cka"]}).measure("validation", h1, h2)
    constant = trial.measure("validation", torch.ones(50, 2), h2)
    assert math.isnan(constant["unbiased_cka"])
    told = Told(trial, {"f1_test": 1}, "f").measured
    assert told["alignment_unbiased_cka_validation"] is None
    assert told["undefined_validation"] == "representations of modality 1 are constant"
    with pytest.raises(InputError, match="expected validation or test"):
        trial.measure("train", h1, h2)
    with pytest.raises(InputError, match="two or more of the same samples"):
        trial.measure("test", h1, h2[:3])


def test_log_says_when_to_stop_and_refuses_what_is_no_number(make: Make) -> None:
    trial = make(epochs=2)
    assert trial.epochs == 2
    assert trial.log(0, f1=torch.tensor(0.5))
    assert trial.log(1, f1=np.float32(0.25), loss=math.nan)
    assert not trial.log(np.int64(2), f1=1)
    assert make().epochs is None
    assert make().log(10**6)
    for whole in (np.int64(3), np.array(3), torch.tensor(3)):
        again = make()
        assert again.log(whole, f1=1)  # type: ignore[arg-type]
        assert list(again._logged) == [3]
    for epoch in (-1, 1.0, True, "1", 2**63):
        with pytest.raises(TrialError, match="expected a whole number"):
            trial.log(epoch, f1=1)  # type: ignore[arg-type]
    for value in ("good", None, True, [1.0, 2.0], 1j):
        with pytest.raises(TrialError, match=r"trial.log: f1 is .*; expected a number"):
            trial.log(1, f1=value)
    halving = {"trials": 2, "seeds": 2, "halving": {"epochs": [2, 4]}}
    with pytest.raises(TrialError, match=r"epoch 5, and search\.halving\.epochs ends at 4"):
        make(search=halving).log(5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arm": "force"}, "arm is 'force'; expected one of none, forced, placebo"),
        ({"arm": "forced", "strength": -1.0}, "strength is -1.0; expected a number, 0 or more"),
        ({"strength": math.nan}, "strength is nan"),
    ],
)
def test_a_trial_by_hand_is_one_that_a_study_has(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        raysweep.TrialContext.by_hand(**given)


def test_a_trial_knows_itself(make: Make) -> None:
    trial = make(grid={"genre": "helps", "width": [256, 512]})
    assert dict(trial.cell) == {"genre": "helps", "width": 256}
    with pytest.raises(TypeError):
        trial.cell["width"] = 1  # type: ignore[index]
    assert (trial.draw, trial.seed, trial.strength, trial.arm) == (0, 3, 0.5, "forced")
    assert trial.folder.is_dir()
    assert trial.folder == make(grid={"genre": "helps", "width": [256, 512]}).folder
    assert "genre=helps, width=256" in repr(trial)
    assert make(Arm.NONE).options == {}
    assert isinstance(study(), TrialStudy)
    assert replace(Trial(expand(study())[0], 0, 1, 0.1, Arm.FORCED, Stage.SEARCH, "s"), epochs=0)
