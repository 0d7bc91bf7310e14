import numpy as np
import pytest
import torch
from reference_training import Pair
from scipy import stats

from raysweep.errors import InputError
from raysweep.models.shape import MultimodalShape
from raysweep.models.trained import History, TrainedPack

SHAPE = MultimodalShape((5, 4), 3, depths=(2, 3), widths=(6, 7))


def pack(m: int, dataset: list[int], dtype: torch.dtype = torch.float64) -> TrainedPack:
    nothing = np.zeros((m, 0))
    return TrainedPack(
        shape=SHAPE,
        dataset=np.array(dataset),
        parameters=SHAPE.initial_parameters(range(m)).to(dtype),
        own_parameters=SHAPE.initial_parameters(range(m)).to(dtype),
        status=np.full(m, "ok"),
        diverged_step=np.full(m, -1),
        unforced_steps=np.zeros(m, dtype=np.int64),
        best_epoch=np.zeros(m, dtype=int),
        own_best_epoch=np.zeros((2, m), dtype=int),
        steps=np.zeros(m, dtype=int),
        history=History(*[nothing] * 3, {}),
        train_seconds=0.0,
        gradient_ratio=np.zeros(m),
    )


def test_layers_cover_the_buffer_once_and_count_like_modules() -> None:
    layers = [layer for tower in SHAPE.towers for layer in (*tower.hidden, tower.head)]
    layers.append(SHAPE.fused_head)
    covered = np.concatenate([np.arange(at.offset, at.offset + at.size) for at in layers])
    assert (covered == np.arange(SHAPE.parameter_count)).all()
    assert SHAPE.parameter_count == sum(p.numel() for p in Pair(SHAPE).parameters())
    spans = SHAPE.spans(2)
    assert [span.start for span in spans[1:]] == [span.stop for span in spans[:-1]]
    assert spans[-1].stop == SHAPE.parameter_count + 2


def test_initial_weights_are_distributed_as_in_torch() -> None:
    shape = MultimodalShape((12, 12), 4, depths=(1, 1), widths=(64, 64))
    drawn = shape.initial_parameters(range(50))
    torch.manual_seed(0)
    for layer in (shape.towers[0].hidden[0], shape.towers[1].head, shape.fused_head):
        theirs = [torch.nn.Linear(layer.columns, layer.rows) for _ in range(50)]
        ours = layer.view(drawn)
        weights = torch.stack([linear.weight.detach() for linear in theirs])
        biases = torch.stack([linear.bias.detach() for linear in theirs])
        for a, b in ((ours[..., :-1], weights), (ours[..., -1], biases)):
            assert stats.ks_2samp(a.flatten(), b.flatten()).pvalue > 1e-3
            assert a.abs().max() <= layer.columns**-0.5


def test_a_tower_starts_alike_whatever_the_other_one_is() -> None:
    other = MultimodalShape((5, 9), 3, depths=(2, 1), widths=(6, 11))
    ours, theirs = SHAPE.initial_parameters([3, 8]), other.initial_parameters([3, 8])
    span = SHAPE.towers[0].span
    assert torch.equal(ours[:, span], theirs[:, span])
    again = SHAPE.initial_parameters([8])
    assert torch.equal(again[0], ours[1])
    assert not torch.equal(ours[0], ours[1])


def test_an_encoder_alone_starts_as_that_tower_of_any_shape() -> None:
    for number, tower in enumerate(SHAPE.towers):
        sizes = SHAPE.inputs[number], SHAPE.depths[number], SHAPE.widths[number]
        one, depth, width = ((size,) for size in sizes)
        alone = MultimodalShape(one, 3, depth, width, first=number + 1)
        assert alone.heads == (str(number + 1),)
        assert alone.fused_head is None
        assert alone.spans(0) == (slice(0, alone.parameter_count),)
        drawn = SHAPE.initial_parameters([3, 8])[:, tower.span]
        assert torch.equal(alone.initial_parameters([3, 8]), drawn)


def test_forward_is_that_of_the_modules() -> None:
    trained = pack(4, [1, 0, 1, 0])
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(2, 9, 5)), rng.normal(size=(2, 9, 4))
    hidden_1, logits_1 = trained.forward(1, x1)
    hidden_2, logits_2 = trained.forward(2, x2)
    fused = trained.fused(hidden_1[-1], hidden_2[-1])
    assert [tuple(h.shape) for h in hidden_1] == [(4, 6, 9)] * 2
    assert [tuple(h.shape) for h in hidden_2] == [(4, 7, 9)] * 3
    for index, which in enumerate(trained.dataset):
        pair = Pair(SHAPE)
        pair.load(trained.parameters[index])
        with torch.no_grad():
            h1, theirs_1 = pair.tower_1(torch.from_numpy(x1[which]))
            h2, theirs_2 = pair.tower_2(torch.from_numpy(x2[which]))
            both = pair.fused(torch.cat((h1, h2), dim=1))
        for a, b in (
            (hidden_1[-1], h1),
            (hidden_2[-1], h2),
            (logits_1, theirs_1),
            (logits_2, theirs_2),
            (fused, both),
        ):
            torch.testing.assert_close(a[index], b.T, atol=1e-13, rtol=0)


def test_inputs_without_a_dataset_axis_are_for_all_members() -> None:
    trained = pack(3, [0, 1, 0], torch.float32)
    x = np.random.default_rng(1).normal(size=(7, 5))
    shared, _ = trained.forward(1, x)
    stacked, _ = trained.forward(1, np.stack((x, x)))
    assert torch.equal(shared[-1], stacked[-1])
    assert shared[-1].dtype == torch.float32


@pytest.mark.parametrize(
    ("modality", "size", "message"),
    [
        (3, (7, 5), "modality is 3; it must be in 1..2"),
        (1, (7, 4), r"x has shape \(7, 4\); it must be \[n, 5\] or \[2, n, 5\]"),
        (2, (1, 7, 4), r"x has shape \(1, 7, 4\); it must be \[n, 4\] or \[2, n, 4\]"),
        (2, (4,), r"x has shape \(4,\)"),
    ],
)
def test_wrong_inputs_are_named(modality: int, size: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pack(3, [0, 1, 0]).forward(modality, np.zeros(size))


def test_a_shape_without_units_is_refused() -> None:
    with pytest.raises(InputError, match="depth_2 is 0; it must be at least 1"):
        MultimodalShape((5, 4), 3, depths=(2, 0), widths=(6, 6))
    with pytest.raises(InputError, match="classes is 0; it must be at least 1"):
        MultimodalShape((5, 4), 0, depths=(2, 2), widths=(6, 6))
    with pytest.raises(InputError, match="modalities is 0; it must be at least 1"):
        MultimodalShape((), 3, depths=(), widths=())
