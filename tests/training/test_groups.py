"""Training on rows that belong together: negatives of other groups, placebos of other groups."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from captures import SHAPES, Watched, settings
from hypothesis import given
from hypothesis import strategies as st
from one_epoch import ENGINES, one_epoch, torch_engine
from reference_training import Pair
from tiny_activations import activations
from tiny_modalities import make_data as make_data_of
from tiny_training import make_data, make_members, pick, train

from raysweep.data.views import Splits, Views
from raysweep.losses import LOSSES, OverPairs, build_loss
from raysweep.models.shape import MultimodalShape
from raysweep.training import torch_engine as torch_module
from raysweep.training.engine import KERNEL_LOSSES, AlignedMembers, PackEngine, _apart
from raysweep.training.inputs import PackData, TrainSettings
from raysweep.training.kernel_cache import compiled_engine
from raysweep.training.train import train_pack

pytestmark = pytest.mark.usefixtures("compiled_kernel")
SHAPE = MultimodalShape((5, 4), 3, depths=(1, 2), widths=(6, 6))
NEGATIVES = [name for name, entry in LOSSES.items() if entry.negatives]


def grouped(m: int, rows: int = 75, each: int = 3, shape: MultimodalShape = SHAPE) -> PackData:
    """Data whose rows are in groups, other ones in each dataset."""
    data = make_data(m, shape, rows=rows)
    draw = np.random.default_rng(1)
    groups = np.stack([draw.permutation(np.arange(rows) // each) for _ in data.y_train])
    return dataclasses.replace(data, groups_train=groups)


def partners(groups: list[int], turn: int) -> list[int]:
    """Whom each row meets: groups on a circle as the batch first has them, turned."""
    circle = [i for of in dict.fromkeys(groups) for i, g in enumerate(groups) if g == of]
    return [circle[(circle.index(i) + turn) % len(groups)] for i in range(len(groups))]


@given(st.lists(st.integers(0, 6), min_size=2, max_size=30), st.integers(2, 4))
def test_no_group_meets_itself_in_a_placebo(groups: list[int], modalities: int) -> None:
    orders = _apart(torch.tensor([groups, groups[::-1]]), modalities)
    rows, largest = len(groups), max(map(groups.count, groups))
    for k, order in enumerate(orders):
        for of, found in ((groups, order[0]), (groups[::-1], order[1])):
            assert found.tolist() == partners(of, k * rows // modalities)
            assert sorted(found.tolist()) == list(range(rows))
    for one in range(modalities):
        for other in range(one):
            pairs = zip(orders[one][0].tolist(), orders[other][0].tolist(), strict=True)
            met = sum(groups[i] == groups[j] for i, j in pairs)
            if largest <= rows // modalities:
                assert met == 0
            elif modalities == 2:
                # No order has fewer: so many rows of the group have no others left to meet.
                assert met == max(2 * largest - rows, 0)


@ENGINES
@pytest.mark.parametrize("negatives", ["other_groups", "all"])
@pytest.mark.parametrize("name", ["infonce", "siglip", "uniformity", "soft_knn", "cka"])
def test_a_step_pulls_by_the_masked_loss_of_pairs_that_are_apart(
    make: Callable[..., PackEngine], name: str, negatives: str
) -> None:
    """The alignment loss of a batch, and the gradient that it alone adds to a member's own."""
    rows = 33
    data = grouped(5, rows)
    members = make_members(5, clip_norm=np.inf, strength=np.array([0.0, 2.0, 1.5, 0.7, 1.0]))
    how = TrainSettings(1, 64, loss=name, dtype="float64", negatives=negatives)
    loss = build_loss(name)
    own = loss.initial_parameters(6, 6, torch.Generator()).expand(5, -1)
    initial = torch.cat((SHAPE.initial_parameters(members.init_seed), own), dim=1)
    engine, log = one_epoch(make, SHAPE, data, how, initial, members)
    without = dataclasses.replace(members, strength=np.zeros(5))
    task, _ = one_epoch(make, SHAPE, data, how, initial, without)
    added = engine.gradients - task.gradients
    assert members.placebo.any()
    for i in range(5):
        which, strength = data.dataset[i], members.strength[i]
        groups = data.groups_train[which].tolist()
        order = list(range(rows))
        if members.placebo[i]:
            order = partners(groups, rows // 2)
            assert all(groups[j] != groups[k] for j, k in enumerate(order))
        x1, x2 = (torch.as_tensor(x[which]) for x in data.x_train)
        pair = Pair(SHAPE)
        pair.load(initial[i, : SHAPE.parameter_count])
        h1, h2 = pair.tower_1(x1)[0], pair.tower_2(x2)[0][order]
        of = torch.tensor([groups, [groups[j] for j in order]])[None]
        given = h1.T[None].detach(), h2.T[None].detach(), own[:1]
        output = loss.value_and_gradients(*given, of if negatives == "other_groups" else None)
        # Back through the towers by autograd.
        slopes = output.grad_1[0].T, output.grad_2[0].T
        at = torch.autograd.grad((h1, h2), list(pair.parameters()), slopes, allow_unused=True)
        for parameter, gradient in zip(pair.parameters(), at, strict=True):
            parameter.grad = torch.zeros_like(parameter) if gradient is None else gradient
        expected = torch.cat((pair.flat(gradient=True), output.grad_parameters[0])) * strength
        torch.testing.assert_close(added[i], expected, atol=1e-9, rtol=1e-7)
        if strength:
            torch.testing.assert_close(
                log.alignment_loss[i], output.value[0], rtol=1e-9, atol=1e-11
            )


@pytest.mark.parametrize("name", sorted(KERNEL_LOSSES))
def test_the_kernel_trains_as_torch_does(name: str) -> None:
    """Batches of 20, 20, 20 and 1 rows."""
    data, members = grouped(5, rows=61), make_members(5, clip_norm=np.inf)
    how = TrainSettings(1, 20, loss=name, dtype="float64")
    own = build_loss(name).initial_parameters(6, 6, torch.Generator()).expand(5, -1)
    initial = torch.cat((SHAPE.initial_parameters(members.init_seed), own), dim=1)
    kernel, seen = one_epoch(compiled_engine, SHAPE, data, how, initial, members)
    plain, right = one_epoch(torch_engine, SHAPE, data, how, initial, members)
    torch.testing.assert_close(kernel.parameters, plain.parameters, atol=1e-9, rtol=0)
    for field in ("alignment_loss", "alignment_gradient", "forced_steps"):
        torch.testing.assert_close(
            getattr(seen, field), getattr(right, field), atol=1e-9, rtol=1e-8, equal_nan=True
        )


@pytest.mark.parametrize("engine", ["torch", "kernel"])
@pytest.mark.parametrize("name", ["infonce", "cka"])
def test_groups_change_what_they_should_and_nothing_else(name: str, engine: str) -> None:
    members = make_members(6, strength=np.array([0, 1, 2, 0, 1, 2.0]), placebo=np.arange(6) > 3)
    data = grouped(6)
    alone = dataclasses.replace(data, groups_train=None)
    how = {"shape": SHAPE, "loss": name, "epochs": 2, "engine": engine}
    plain = train(members, data=alone, **how).parameters
    left_out = train(members, data=data, **how).parameters
    everyone = train(members, data=data, negatives="all", **how).parameters
    same = [torch.equal(a, b) for a, b in zip(plain, left_out, strict=True)]
    assert same == [True, name == "cka", name == "cka", True, False, False]
    same = [torch.equal(a, b) for a, b in zip(plain, everyone, strict=True)]
    assert same == [True, True, True, True, False, False]
    # A member's result is its own, whatever it is packed with.
    for i in (1, 5):
        one = dataclasses.replace(data, dataset=data.dataset[i : i + 1])
        found = train(pick(members, [i]), data=one, **how).parameters
        torch.testing.assert_close(found[0], left_out[i], atol=1e-10, rtol=0)


@ENGINES
def test_a_placebo_has_no_loss_in_a_batch_of_one_group(make: Callable[..., PackEngine]) -> None:
    data = grouped(5, rows=12, each=12)
    members = make_members(5, strength=np.ones(5), placebo=np.arange(5) % 2 == 1)
    how = TrainSettings(1, 16, loss="mse", dtype="float64")
    _, log = one_epoch(make, SHAPE, data, how, members=members)
    assert log.alignment_loss.isnan().tolist() == members.placebo.tolist()
    assert (log.forced_steps == 0).tolist() == members.placebo.tolist()


def test_three_modalities_of_a_placebo_are_all_apart() -> None:
    h1, h2 = activations(0, 4, 4, b=12)
    hs, groups = (h1, h2, h1 * 2), (torch.arange(12) // 4).expand(3, -1)
    aligned = AlignedMembers.of(torch.ones(3), torch.tensor([False, True, True]))
    found = aligned.evaluate(OverPairs(build_loss("mse")), hs, h1.new_zeros(3, 0), groups)
    seen = [h[1][:, partners(groups[1].tolist(), 4 * k)] for k, h in enumerate(hs)]
    each = [(seen[a] - seen[b]).square().mean() for a, b in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(found.value[1], torch.stack(each).mean())


def test_groups_of_views_are_those_of_the_training_rows() -> None:
    x, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2
    parts = np.split(np.random.default_rng(1).permutation(30), [20, 25])
    alone = Views((x, x), y, 2, Splits(*parts))
    distinct = dataclasses.replace(alone, groups=np.arange(30)[::-1])
    of_five = dataclasses.replace(alone, groups=np.arange(30) // 5)
    assert not alone.in_groups
    assert not distinct.in_groups
    assert of_five.in_groups
    assert PackData.of_views([alone, distinct], np.zeros(1, int)).groups_train is None
    found = PackData.of_views([of_five, alone], np.zeros(1, int)).groups_train
    np.testing.assert_array_equal(found, [parts[0] // 5, np.arange(20)])


@pytest.mark.parametrize("name", NEGATIVES)
def test_a_step_on_groups_can_be_captured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    members, graphs = make_members(8), Watched()
    here = AlignedMembers.of(torch.as_tensor(members.strength), torch.as_tensor(members.placebo))
    there = AlignedMembers(*(x.to("meta") for x in (here.rows, here.strength, here.placebo)))
    monkeypatch.setattr(AlignedMembers, "of", lambda strength, placebo: there)
    monkeypatch.setattr(torch_module, "graphs_on", lambda device: graphs)
    data = make_data_of(SHAPES["three"], 40, 8)
    groups = np.tile(np.arange(40) // 4, (len(data.y_train), 1))
    data = dataclasses.replace(data, groups_train=groups)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        train_pack(SHAPES["three"], members, data, settings(loss=name, device="meta"))
    assert graphs.steps == 3
