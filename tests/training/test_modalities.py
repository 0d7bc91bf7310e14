"""Packs of three and four modalities against modules, autograd and packs of one."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from reference_training import LOSSES, Tower, linears_of
from tiny_modalities import M, make_data
from tiny_training import make_members, pick
from torch import nn
from torch.nn import functional

from raysweep.errors import InputError
from raysweep.losses import OverPairs, build_loss
from raysweep.losses.over_pairs import modality_pairs
from raysweep.models.initial import alignment_generator
from raysweep.models.memory import PackSize
from raysweep.models.shape import MultimodalShape
from raysweep.training.inputs import TrainSettings
from raysweep.training.passes import HandWritten
from raysweep.training.torch_engine import TorchEngine
from raysweep.training.train import train_pack

THREE = MultimodalShape((5, 4, 7), 3, depths=(2, 3, 3), widths=(6, 6, 6))
FOUR = MultimodalShape((5, 4, 7, 3), 3, depths=(2, 3, 3, 3), widths=(6, 6, 6, 6))
TWO = MultimodalShape((5, 4), 3, depths=(2, 3), widths=(6, 6))
SHAPES = pytest.mark.parametrize("shape", [THREE, FOUR], ids=["three", "four"])


def settings(**given: object) -> TrainSettings:
    return TrainSettings(**{"epochs": 4, "batch_size": 16, "dtype": "float64", **given})


def learned_infonce(h1: torch.Tensor, h2: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    cosines = functional.normalize(h1, dim=1) @ functional.normalize(h2, dim=1).T * own[0].exp()
    target = torch.arange(len(h1))
    forth, back = (functional.cross_entropy(c, target) for c in (cosines, cosines.T))
    return (forth + back) / 2


class Several(nn.Module):
    """A tower a modality and the fused head, filled from a row of the packed buffer."""

    def __init__(self, shape: MultimodalShape, flat: torch.Tensor) -> None:
        super().__init__()
        sizes = zip(shape.inputs, shape.depths, shape.widths, strict=True)
        self.towers = nn.ModuleList(Tower(d, depth, w, shape.classes) for d, depth, w in sizes)
        self.fused = nn.Linear(sum(shape.widths), shape.classes)
        self.double()
        at = 0
        for linear in linears_of(self):
            rows, columns = linear.weight.shape
            block = flat[at : at + rows * (columns + 1)].view(rows, columns + 1)
            linear.weight.data.copy_(block[:, :-1])
            linear.bias.data.copy_(block[:, -1])
            at += block.numel()
        self.own = nn.Parameter(flat[at:].clone())

    def gradients(self) -> torch.Tensor:
        parts = [torch.cat((x.weight.grad, x.bias.grad[:, None]), 1) for x in linears_of(self)]
        own = torch.zeros_like(self.own) if self.own.grad is None else self.own.grad
        return torch.cat([*(part.flatten() for part in parts), own])


def expected(shape, data, members, initial, how, index):
    """Gradients, task and alignment loss, and squared norms, of a member's only batch."""
    model, which = Several(shape, initial[index]), data.dataset[index]
    y = torch.as_tensor(data.y_train[which])
    ran = [t(torch.as_tensor(x[which])) for t, x in zip(model.towers, data.x_train, strict=True)]
    both = torch.cat([h for h, _ in ran], dim=1)
    fused = model.fused(both if how.fusion == "joint" else both.detach())
    task = sum(functional.cross_entropy(logits, y) for _, logits in ran)
    total = task + functional.cross_entropy(fused, y)
    at = -1 if how.layer is None else how.layer - 1
    seen = [tower.activations[at] for tower in model.towers]
    strength = float(members.strength[index])
    squares = [0.0, 0.0]
    alignment = torch.zeros(())
    if strength > 0:
        shown = [
            h[(torch.arange(len(h)) - k * bool(members.placebo[index])) % len(h)]
            for k, h in enumerate(seen)
        ]
        values = []
        for number, (a, b) in enumerate(itertools.combinations(shown, 2)):
            if how.loss_options:
                values.append(learned_infonce(a, b, model.own[number : number + 1]))
            else:
                values.append(LOSSES[how.loss](a, b))
        alignment = sum(values) / len(values)
        for place, part in enumerate((strength * alignment, total)):
            found = torch.autograd.grad(part, seen, retain_graph=True)
            squares[place] = sum(g.square().sum() for g in found).item()
        total = total + strength * alignment
    total.backward()
    return model.gradients(), task.item(), alignment.item(), squares


@SHAPES
@pytest.mark.parametrize("fusion", ["probe", "joint"])
@pytest.mark.parametrize(
    ("loss", "options", "layer"),
    [
        ("infonce", {}, None),
        ("cka", {}, None),
        ("unbiased_cka", {}, 1),
        ("infonce", {"learned": True}, 2),
    ],
)
def test_gradients_of_a_step(shape, fusion, loss, options, layer) -> None:
    members = make_members(M, clip_norm=np.inf)
    assert {(s > 0, p) for s, p in zip(members.strength, members.placebo, strict=True)} >= {
        (False, False),
        (True, False),
        (True, True),
    }
    data = make_data(shape, rows=20)
    how = settings(
        epochs=1, batch_size=32, loss=loss, loss_options=options, layer=layer, fusion=fusion
    )
    term = build_loss(loss, options)
    counts = OverPairs(term).parameter_counts(shape.widths)
    rng = np.random.default_rng(1)
    own = torch.from_numpy(rng.uniform(0.5, 2, (M, sum(counts))))
    initial = torch.cat((shape.initial_parameters(members.init_seed), own), dim=1)
    passes = HandWritten(shape, fusion == "joint", layer)
    engine = TorchEngine(passes, shape, members, data, how, term, initial.clone())
    with torch.no_grad():
        log = engine.train_epoch(
            torch.arange(20, dtype=torch.int32)[None], torch.zeros(M, dtype=int)
        )
    for index in range(M):
        gradients, task, alignment, squares = expected(shape, data, members, initial, how, index)
        torch.testing.assert_close(engine.gradients[index], gradients, atol=1e-11, rtol=1e-9)
        assert float(log.task_loss[index]) == pytest.approx(task, abs=1e-10)
        if members.strength[index] > 0:
            assert float(log.alignment_loss[index]) == pytest.approx(alignment, abs=1e-10)
            assert float(log.alignment_gradient[index]) == pytest.approx(squares[0], rel=1e-8)
            assert float(log.task_gradient[index]) == pytest.approx(squares[1], rel=1e-8)


@SHAPES
@pytest.mark.parametrize("fusion", ["probe", "joint"])
def test_members_do_not_depend_on_their_pack(shape: MultimodalShape, fusion: str) -> None:
    members, data = make_members(M), make_data(shape)
    options = {"learned": True, "projection": "mlp"}
    how = settings(fusion=fusion, loss_options=options)
    together = train_pack(shape, members, data, how)
    assert together.history.performance.keys() == {*shape.heads}
    for rows in ([1], [4, 2]):
        few = dataclasses.replace(data, dataset=data.dataset[rows])
        alone = train_pack(shape, pick(members, rows), few, how)
        torch.testing.assert_close(alone.parameters, together.parameters[rows], atol=1e-10, rtol=0)


def test_at_strength_0_a_tower_trains_as_in_a_pair() -> None:
    # The same initial weights, too: each tower has a stream of its own.
    members = make_members(M, strength=0.0)
    data = make_data(FOUR)
    several = train_pack(FOUR, members, data, settings(checkpoint="last"))
    pair_data = dataclasses.replace(
        data, x_train=data.x_train[:2], x_validation=data.x_validation[:2]
    )
    pair = train_pack(TWO, members, pair_data, settings(checkpoint="last", engine="torch"))
    span = slice(0, TWO.towers[1].span.stop)
    torch.testing.assert_close(
        several.parameters[:, span], pair.parameters[:, span], atol=1e-10, rtol=0
    )
    third = FOUR.initial_parameters([0])[:, FOUR.towers[2].span]
    fused = FOUR.initial_parameters([0])[:, FOUR.towers[3].span]
    assert not torch.isclose(third[0, :6], fused[0, :6]).any()


def test_each_pair_has_alignment_parameters_of_its_own() -> None:
    assert modality_pairs(4) == [(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)]
    loss = build_loss("mse", {"projection": "linear"})
    pairs = OverPairs(loss)
    counts = pairs.parameter_counts(THREE.widths)
    assert counts == [72] * 3
    drawn = pairs.initial_parameters(THREE.widths, [alignment_generator(3, k) for k in range(3)])
    first = loss.initial_parameters(6, 6, alignment_generator(3))
    torch.testing.assert_close(drawn[:72], first)
    assert len(drawn.unique()) == 3 * 72
    members, data = make_members(M), make_data(THREE)
    trained = train_pack(
        THREE, members, data, settings(loss="mse", loss_options={"projection": "linear"})
    )
    assert trained.alignment_parameters.shape == (M, 3 * 72)


@pytest.mark.parametrize(("stopped", "still", "moved"), [("1", 0, 2), ("2", 2, 0)])
def test_one_way_alignment_draws_to_the_earlier_or_the_later(
    stopped: str, still: int, moved: int
) -> None:
    rng = np.random.default_rng(0)
    hs = [torch.from_numpy(rng.normal(size=(2, 6, 9))) for _ in range(3)]
    output = OverPairs(build_loss("cka", {"stop_gradient": stopped})).value_and_gradients(
        hs, torch.zeros(2, 0, dtype=torch.float64)
    )
    assert not output.gradients[still].any()
    assert output.gradients[moved].any()
    assert output.gradients[1].any()


def test_an_undefined_pair_is_left_out_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    hs = [torch.from_numpy(rng.normal(size=(2, 6, 9))) for _ in range(3)]
    hs[2][0] = 1.0  # constant: CKA with it is undefined
    loss, nothing = build_loss("cka"), torch.zeros(2, 0, dtype=torch.float64)
    output = OverPairs(loss).value_and_gradients(hs, nothing)
    pairs = [
        loss.value_and_gradients(a, b, nothing).value for a, b in itertools.combinations(hs, 2)
    ]
    assert output.value[0] == pairs[0][0]
    assert output.value[1] == pytest.approx(float(sum(value[1] for value in pairs)) / 3)
    assert not output.gradients[2][0].any()
    hs[1][0] = 1.0
    assert OverPairs(loss).value_and_gradients(hs, nothing).value[0].isnan()


def test_a_batch_too_short_for_a_placebo_forces_nothing() -> None:
    # 17 rows in batches of 15: the last batch has two, too few for three shifts.
    data = make_data(THREE, rows=17)
    members = make_members(M, strength=1.0, clip_norm=np.inf)
    trained = train_pack(THREE, members, data, settings(epochs=1, batch_size=15, loss="infonce"))
    assert np.isfinite(trained.history.alignment_loss).all()
    only = train_pack(THREE, members, data, settings(epochs=1, batch_size=2, loss="infonce"))
    assert np.isnan(only.history.alignment_loss).all()
    assert (only.status == "ok").all()


def test_the_kernel_is_for_two_modalities() -> None:
    members, data = make_members(M), make_data(THREE)
    with pytest.raises(InputError, match="engine is 'kernel' and there are 3 modalities; the kern"):
        train_pack(THREE, members, data, settings(engine="kernel"))
    with pytest.raises(InputError, match="x_train has 3 modalities; it must have 4"):
        train_pack(FOUR, members, data, settings())


def test_more_modalities_take_more_memory() -> None:
    sizes = [
        PackSize(shape, 20, 10, 2, 10, (1000, 500), 128).torch_bytes()
        for shape in (TWO, THREE, FOUR)
    ]
    assert sizes[0] < sizes[1] < sizes[2] < 2.5 * sizes[0]
