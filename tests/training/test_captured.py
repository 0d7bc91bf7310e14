"""Steps captured and replayed against eager ones.

`replay` stands for CUDA graphs, by the same rules; on a GPU: test_training_cuda.py.
"""

import dataclasses
import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch
from captures import (
    CAPTURABLE,
    ROWS,
    SHAPES,
    THREE,
    TWO,
    UNASKED,
    M,
    assert_same,
    settings,
    trained,
)
from replay import Replays
from tiny_modalities import make_data as make_data_of
from tiny_training import Gap, make_members

from raysweep.losses import AlignmentLoss, build_loss
from raysweep.models.architecture import Architecture
from raysweep.models.shape import MultimodalShape
from raysweep.training import loop, torch_engine
from raysweep.training.engines import engine_for
from raysweep.training.epoch_sums import EpochSums
from raysweep.training.optimizer import BETA_1, BETA_2, RowAdamW
from raysweep.training.order import BatchOrder
from raysweep.training.train import train_pack


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", CAPTURABLE)
def test_replayed_steps_train_the_same(
    loss: str, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "COMPACT_BELOW", 0.9)
    graphs = Replays()
    expected = trained(SHAPES[shape], settings(loss=loss), None, monkeypatch)
    assert expected.steps.min() < expected.steps.max()
    assert_same(trained(SHAPES[shape], settings(loss=loss), graphs, monkeypatch), expected)
    # A first batch, another full one and a short one; and all of them again for fewer members.
    assert graphs.warm_ups > 3
    assert len(graphs.recordings) >= 3
    assert graphs.warm_ups + graphs.replayed == expected.steps.max()


@pytest.mark.parametrize("shape", SHAPES)
def test_kept_members_are_captured_anew(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    members, data, graphs = make_members(M), make_data_of(SHAPES[shape], ROWS, M), Replays()
    ends = []
    for given in (None, graphs):
        monkeypatch.setattr(torch_engine, "graphs_on", lambda device, given=given: given)
        engine = engine_for(SHAPES[shape], settings())(
            SHAPES[shape],
            members,
            data,
            settings(),
            build_loss("cka"),
            SHAPES[shape].initial_parameters(members.init_seed),
        )
        order, kept = BatchOrder(members.order_seed, ROWS), torch.tensor([1, 2, 6])
        with torch.no_grad():
            for epoch in range(8):
                if epoch == 4:
                    engine.keep(kept)
                    order.keep(kept)
                log = engine.train_epoch(order.next_epoch(), order.stream)
                ends.append((engine.parameters.clone(), log.alignment_loss, log.task_gradient))
    torch.testing.assert_close(ends[8:], ends[:8], atol=1e-12, rtol=1e-12, equal_nan=True)
    assert (graphs.warm_ups, len(graphs.recordings), graphs.replayed) == (6, 6, 18)


@pytest.mark.parametrize(
    ("shape", "given"),
    [
        ("two", {"loss_options": {"learned": True, "projection": "mlp"}}),
        ("three", {"loss_options": {"learned": True, "stop_gradient": "1"}, "fusion": "joint"}),
        ("autograd", {"loss_options": {"projection": "linear"}, "fusion": "joint"}),
        ("two", {"loss": "cka", "layer": 1, "batch_size": 512}),
        ("autograd", {"loss": "mse", "loss_options": {"projection": "linear"}, "layer": 1}),
        ("two", {"loss": "unbiased_cka", "batch_size": 39}),  # a last batch of one row
        ("three", {"loss": "cosine", "batch_size": 19}),  # of two rows, fewer than modalities
    ],
)
def test_replayed_steps_with_options_train_the_same(
    shape: str, given: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = Replays()
    how = settings(**{"patience": None, **given})
    expected = trained(SHAPES[shape], how, None, monkeypatch)
    assert_same(trained(SHAPES[shape], how, graphs, monkeypatch), expected)
    assert graphs.replayed > graphs.warm_ups


def test_replayed_steps_diverge_at_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = np.where(np.arange(M) % 4 == 3, 1e160, 1e-2)
    members = make_members(M, learning_rate=rates, clip_norm=np.inf)
    expected = trained(TWO, settings(), None, monkeypatch, members=members)
    found = trained(TWO, settings(), Replays(), monkeypatch, members=members)
    assert (expected.status == "diverged").any()
    assert (expected.status == "ok").any()
    assert_same(found, expected)


def test_encoders_alone_are_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_data_of(TWO, ROWS, M)
    one = dataclasses.replace(data, x_train=data.x_train[:1], x_validation=data.x_validation[:1])
    members, shape = make_members(M, strength=0.0), MultimodalShape((5,), 3, (2,), (6,))
    expected = train_pack(shape, members, one, settings())
    graphs = Replays()
    monkeypatch.setattr(torch_engine, "graphs_on", lambda device: graphs)
    found = train_pack(shape, members, one, settings())
    torch.testing.assert_close(found.parameters, expected.parameters, atol=1e-12, rtol=0)
    assert graphs.replayed > graphs.warm_ups


def host_counted_step(self: RowAdamW, gradients: torch.Tensor) -> None:
    """AdamW with the number of the step in Python, as `torch.optim.AdamW` has it by default."""
    self.count = getattr(self, "count", 0) + 1
    self.mean.lerp_(gradients, 1 - BETA_1)
    self.square.mul_(BETA_2).addcmul_(gradients, gradients, value=1 - BETA_2)
    move = self.mean / (self.square.sqrt() / (1 - BETA_2**self.count) ** 0.5 + 1e-8)
    self.parameters.sub_(move * self._learning_rate / (1 - BETA_1**self.count))


def renewing_reset(self: EpochSums) -> None:
    """Begins an epoch with its sums in new memory."""
    _reset(self)
    self._losses = torch.zeros_like(self._losses)


_add, _reset = EpochSums.add, EpochSums.reset


def host_counted_add(self: EpochSums, losses: torch.Tensor, norms: torch.Tensor, share: float):
    """Sums that weigh each step by its number, counted in Python."""
    self.count = getattr(self, "count", 0) + 1
    _add(self, losses, norms, share * self.count)


FAULTS = [
    (RowAdamW, "step", host_counted_step),
    (EpochSums, "reset", renewing_reset),
    (EpochSums, "add", host_counted_add),
]


@pytest.mark.parametrize(("kind", "method", "fault"), FAULTS, ids=["AdamW", "memory", "sums"])
def test_state_that_a_graph_does_not_hold_is_found_out(
    kind: type, method: str, fault: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, method, fault)
    expected = trained(TWO, settings(), None, monkeypatch)
    found = trained(TWO, settings(), Replays(), monkeypatch)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same(found, expected, tolerance=1e-6)


class Failing(Replays):
    """Fails as torch does, in the middle of a capture."""

    error = RuntimeError("operation not permitted when stream is capturing")

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        super().capture(step)
        if len(self.recordings) == 2:
            raise self.error
        return self.recordings[-1]


def test_where_a_capture_fails_training_goes_on_eagerly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = trained(TWO, settings(patience=None), None, monkeypatch)
    graphs = Failing()
    with caplog.at_level(logging.WARNING):
        found = trained(TWO, settings(patience=None), graphs, monkeypatch)
    assert_same(found, expected)
    assert len(graphs.recordings) == 2
    assert caplog.messages == [
        "a training step cannot be captured, so it runs eagerly: "
        "operation not permitted when stream is capturing"
    ]


def test_memory_that_is_short_in_a_capture_is_no_reason_to_be_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs = Failing()
    graphs.error = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        trained(TWO, settings(), graphs, monkeypatch)


@pytest.mark.parametrize(
    ("given", "loss", "shape"),
    [
        ({"loss": "deep_cca"}, None, TWO),
        ({"captured": False}, None, TWO),
        ({}, None, UNASKED),
        ({}, Gap(), THREE),
    ],
)
def test_what_is_not_capturable_is_not_captured(
    given: dict[str, object],
    loss: AlignmentLoss | None,
    shape: Architecture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs = Replays()
    trained(shape, settings(epochs=2, **given), graphs, monkeypatch, loss)
    assert not graphs.warm_ups
    assert not graphs.recordings


def test_a_loss_that_no_member_has_hinders_no_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = Replays()
    how, members = settings(loss="deep_cca"), make_members(M, strength=0.0)
    trained(TWO, how, graphs, monkeypatch, members=members)
    assert graphs.replayed
