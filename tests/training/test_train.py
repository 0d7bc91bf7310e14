import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from reference_training import LOSSES, train_one
from tiny_training import (
    BATCH,
    EPOCHS,
    ROWS,
    SHAPE,
    TOLERANCE,
    Gap,
    make_data,
    make_members,
    pick,
    train,
)

from raysweep.errors import InputError
from raysweep.models.custom import custom_encoder
from raysweep.models.encoders import EncoderPair
from raysweep.models.initial import alignment_generator
from raysweep.training.inputs import TrainSettings
from raysweep.training.loop import _compaction_pays
from raysweep.training.train import precision, train_pack


def gap(h1: torch.Tensor, h2: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of h1 and a learned multiple of h2."""
    return (h1 - factor * h2).square().mean()


GAP = Gap()
ENGINES = pytest.mark.parametrize("engine", ["torch", "kernel"])


@ENGINES
@pytest.mark.parametrize(
    ("loss", "fusion"),
    [("infonce", "probe"), ("infonce", "joint"), ("unbiased_cka", "probe"), ("cka", "probe")],
)
def test_every_member_follows_the_slow_trainer(loss: str, fusion: str, engine: str) -> None:
    members = make_members(20)
    data = make_data(20)
    settings = TrainSettings(
        EPOCHS, BATCH, loss=loss, fusion=fusion, dtype="float64", engine=engine
    )
    best = train_pack(SHAPE, members, data, settings)
    last = train_pack(SHAPE, members, data, dataclasses.replace(settings, checkpoint="last"))
    initial = SHAPE.initial_parameters(members.init_seed)
    for index in (0, 5, 11, 19):  # strength 0, forced, a placebo, forced; every clip and decay
        slow = train_one(SHAPE, members, index, initial[index], data, settings, LOSSES[loss])
        torch.testing.assert_close(last.parameters[index], slow.last, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(best.parameters[index], slow.best, atol=TOLERANCE, rtol=0)
        assert best.best_epoch[index] == slow.best_epoch
        history = best.history
        np.testing.assert_allclose(history.task_loss[index], slow.task_loss, atol=TOLERANCE)
        accuracies = np.array(slow.accuracies).T
        np.testing.assert_allclose(history.performance["1"][index], accuracies[0])
        np.testing.assert_allclose(history.performance["2"][index], accuracies[1])
        np.testing.assert_allclose(history.performance["fused"][index], accuracies[2])
        if members.strength[index] > 0:
            np.testing.assert_allclose(
                history.alignment_loss[index], slow.alignment_loss, atol=1e-9
            )
        else:
            assert np.isnan(history.alignment_loss[index]).all()
        assert best.gradient_ratio[index] == pytest.approx(slow.gradient_ratio, rel=1e-8)
    assert (best.steps == 90).all()
    assert (best.status == "ok").all()


@ENGINES
def test_a_users_loss_with_parameters_follows_the_slow_trainer(engine: str) -> None:
    members = make_members(8)
    data = make_data(8)
    settings = TrainSettings(EPOCHS, BATCH, dtype="float64", checkpoint="last", engine=engine)
    trained = train_pack(SHAPE, members, data, settings, GAP)
    initial = SHAPE.initial_parameters(members.init_seed)
    for index in range(8):
        own = GAP.initial_parameters(6, 6, alignment_generator(int(members.init_seed[index])))
        slow = train_one(SHAPE, members, index, initial[index], data, settings, gap, own=own)
        torch.testing.assert_close(trained.parameters[index], slow.last, atol=TOLERANCE, rtol=0)
        moved = abs(trained.alignment_parameters[index].item() - own.item())
        assert (moved > 0) == (members.strength[index] > 0)
        assert trained.gradient_ratio[index] == pytest.approx(slow.gradient_ratio, rel=1e-8)


def test_the_kernel_trains_mlps_only() -> None:
    encoders = (custom_encoder("own_encoders:mlp", d, 2, 6, {}) for d in (5, 4))
    pair = EncoderPair(tuple(encoders), 3)
    with pytest.raises(InputError, match="'kernel', which trains mlp encoders only; take 'auto'"):
        train(make_members(2), pair, make_data(2), engine="kernel")


@ENGINES
def test_a_member_does_not_depend_on_its_pack(engine: str) -> None:
    members = make_members(20)
    data = make_data(20)
    together = train(members, data=data, engine=engine)
    for index in (0, 1, 5, 11, 19):
        alone = train(
            pick(members, [index]),
            data=dataclasses.replace(data, dataset=data.dataset[[index]]),
            engine=engine,
        )
        if engine == "kernel":
            assert torch.equal(together.parameters[index], alone.parameters[0])
        torch.testing.assert_close(
            together.parameters[index], alone.parameters[0], atol=TOLERANCE, rtol=0
        )
        assert together.best_epoch[index] == alone.best_epoch[0]


@pytest.mark.parametrize("tower", [1, 2])
def test_at_strength_0_a_tower_trains_as_if_alone(tower: int) -> None:
    members = make_members(4, strength=0.0, clip_norm=0.3)
    data = make_data(4)
    settings = TrainSettings(EPOCHS, BATCH, checkpoint="last", dtype="float64")
    trained = train_pack(SHAPE, members, data, settings)
    initial = SHAPE.initial_parameters(members.init_seed)
    span = SHAPE.towers[tower - 1].span
    for index in range(4):
        alone = train_one(SHAPE, members, index, initial[index], data, settings, only=tower)
        torch.testing.assert_close(
            trained.parameters[index, span], alone.last[span], atol=TOLERANCE, rtol=0
        )


def test_measuring_with_a_probe_changes_nothing_and_joint_does() -> None:
    members = make_members(6)
    probe = train(members, fusion="probe", checkpoint="last")
    joint = train(members, fusion="joint", checkpoint="last")
    encoders = slice(0, SHAPE.towers[1].span.stop)
    assert (probe.parameters[:, encoders] - joint.parameters[:, encoders]).abs().max() > 1e-3


def test_paired_arms_share_their_start_and_their_batches() -> None:
    arms = make_members(
        3,
        init_seed=4,
        order_seed=9,
        strength=np.array([0.0, 1e-12, 1e-12]),
        placebo=np.array([False, False, True]),
        learning_rate=0.01,
        weight_decay=0.01,
        clip_norm=8.0,
    )
    data = dataclasses.replace(make_data(3), dataset=np.zeros(3, dtype=int))
    trained = train(arms, data=data, checkpoint="last")
    # A strength too small to matter leaves the arms with the same run, batch for batch.
    torch.testing.assert_close(trained.parameters[1], trained.parameters[0], atol=1e-7, rtol=0)
    torch.testing.assert_close(trained.parameters[2], trained.parameters[0], atol=1e-7, rtol=0)
    other = train(dataclasses.replace(arms, order_seed=np.array([9, 9, 10])), data=data)
    assert (other.parameters[2] - other.parameters[0]).abs().max() > 1e-3


@ENGINES
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_diverging_member_leaves_the_others_bit_identical(dtype: str, engine: str) -> None:
    calm = make_members(5, weight_decay=0.1)
    rates = calm.learning_rate.copy()
    rates[2] = 1e6
    wild = dataclasses.replace(calm, learning_rate=rates)
    settings = {"dtype": dtype, "epochs": 40, "engine": engine}
    expected, trained = train(calm, **settings), train(wild, **settings)
    assert list(trained.status) == ["ok", "ok", "diverged", "ok", "ok"]
    others = [0, 1, 3, 4]
    assert torch.equal(trained.parameters[others], expected.parameters[others])
    assert trained.parameters[2].isnan().all()
    assert trained.best_epoch[2] == -1
    step = trained.diverged_step[2]
    assert step >= 0
    assert trained.steps[2] == step + 1
    # Until that step nothing was wrong: training up to the epoch before ends well.
    epochs_before = step // 5
    if epochs_before:
        before = train(wild, **{**settings, "epochs": int(epochs_before)})
        assert before.status[2] == "ok"
    after = train(wild, **{**settings, "epochs": int(epochs_before) + 1})
    assert after.status[2] == "diverged"
    assert after.diverged_step[2] == step


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_result_is_left_unfinished(dtype: str) -> None:
    trained = train(make_members(4), dtype=dtype, evaluate_every=4, epochs=6)
    assert str(trained.parameters.dtype) == f"torch.{dtype}"
    seen = ~np.isnan(trained.history.performance["fused"])
    assert (seen == (np.isin(np.arange(6), [3, 5]))).all()
    assert np.isin(trained.best_epoch, [3, 5]).all()
    assert np.isfinite(trained.history.task_loss).all()
    assert np.isfinite(trained.history.fused_loss).all()


def test_a_divergence_does_not_decide_when_the_others_are_compacted() -> None:
    stacked = SimpleNamespace(members_are_separate=False)
    settings = TrainSettings(1, patience=3)
    held = np.array([False, True, True, True, True])
    broken, nobody = ~held, np.zeros(5, dtype=bool)
    assert not _compaction_pays(held, broken, stacked, settings)
    assert not _compaction_pays(held, nobody, stacked, settings)  # 4 of 5 still train
    held[1] = False
    assert _compaction_pays(held, nobody, stacked, settings)
    assert _compaction_pays(held, broken, stacked, settings)  # 3 of 4
    assert not _compaction_pays(held, broken, stacked, TrainSettings(1))


@pytest.mark.parametrize("tf32", [False, True])
def test_every_product_on_a_gpu_is_as_precise_as_the_settings_say(tf32: bool) -> None:
    cudnn = torch.backends.cudnn
    backends = torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn
    before = [backend.fp32_precision for backend in backends]
    with precision(tf32):
        found = {backend.fp32_precision for backend in backends}
    assert found == {"tf32" if tf32 else "ieee"}
    assert [backend.fp32_precision for backend in backends] == before


@ENGINES
def test_patience_stops_each_member_by_itself(engine: str) -> None:
    members = make_members(12)
    data = make_data(12)
    full = train(members, data=data, epochs=40, engine=engine)
    stopped = train(members, data=data, epochs=40, patience=3, engine=engine)
    accuracy = full.history.performance["fused"]
    for index in range(12):
        best, at = -1.0, -1
        stop = 40
        for epoch in range(40):
            if accuracy[index, epoch] > best:
                best, at = accuracy[index, epoch], epoch
            if epoch - at >= 3:
                stop = epoch + 1
                break
        assert stopped.steps[index] == stop * 5
        assert stopped.best_epoch[index] == at
        assert np.isnan(stopped.history.task_loss[index, stop:]).all()
        assert np.isfinite(stopped.history.task_loss[index, :stop]).all()
    assert len(set(stopped.steps)) > 2  # the pack was compacted more than once
    same = full.best_epoch == stopped.best_epoch
    assert same.any()
    torch.testing.assert_close(
        full.parameters[same], stopped.parameters[same], atol=TOLERANCE, rtol=0
    )


@ENGINES
def test_an_undefined_alignment_is_not_a_divergence(engine: str) -> None:
    # The last batch has 1 row, on which no CKA is defined: the task alone is learned from it.
    trained = train(
        make_members(3, strength=1.0),
        data=make_data(3, rows=17),
        loss="unbiased_cka",
        epochs=3,
        engine=engine,
    )
    assert (trained.status == "ok").all()
    assert np.isfinite(trained.history.alignment_loss).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.0}, r"members: learning_rate\[0\] is 0.0, not above 0"),
        ({"strength": np.nan}, r"members: strength\[0\] is nan, not finite and at least 0"),
        ({"order_seed": -1}, r"members: order_seed\[0\] is -1, not at least 0"),
        ({"clip_norm": 0.0}, r"members: clip_norm\[0\] is 0.0, not above 0"),
    ],
)
def test_impossible_members_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_members(2, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": np.array([0, 3])}, r"dataset must hold 2 indices in 0\.\.2; it is \[0 3\]"),
        ({"y_train": np.full((3, ROWS), 3)}, r"y_train runs from 3 to 3; labels must be 0\.\.2"),
        (
            {"x_train": (np.zeros((3, ROWS, 4)),) * 2},
            r"x1_train has shape \(3, 75, 4\); it must be",
        ),
        ({"y_validation": np.zeros((3, 0), int)}, r"y_validation has shape \(3, 0\)"),
    ],
)
def test_data_that_do_not_fit_are_refused(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(make_members(2), data=dataclasses.replace(make_data(2), **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fusion": "late"}, "fusion is 'late'; it must be one of probe, joint"),
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"patience": 0}, "patience is 0; it must be at least 1"),
        ({"device": "abacus"}, "device is 'abacus', which torch cannot use here"),
        ({"loss": "hope"}, "no such loss"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(make_members(2), **change)


@pytest.mark.parametrize(("tf32", "during"), [(False, "ieee"), (True, "tf32")])
def test_tf32_is_off_unless_asked_for_and_ends_with_the_pack(tf32: bool, during: str) -> None:
    class Spy(Gap):
        seen: str

        def value(self, h1: torch.Tensor, h2: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
            self.seen = torch.backends.cuda.matmul.fp32_precision
            return super().value(h1, h2, own)

    before = torch.backends.cuda.matmul.fp32_precision
    spy = Spy()
    settings = TrainSettings(1, BATCH, engine="torch", tf32=tf32)
    train_pack(SHAPE, make_members(2), make_data(2), settings, spy)
    assert spy.seen == during
    assert torch.backends.cuda.matmul.fp32_precision == before
