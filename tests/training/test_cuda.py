"""CUDA graphs by torch: what is asked of `torch.cuda`, and on a GPU all of it."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from captures import ROWS, SHAPES, TWO, M, assert_same, settings
from tiny_modalities import make_data
from tiny_training import Gap, make_members
from tiny_two_cells import StudyFactory

from raysweep.kinds.forcing.groups import loaded, train_settings
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.losses import LOSSES, build_loss
from raysweep.models.architecture import Architecture
from raysweep.models.shape import MultimodalShape
from raysweep.models.trained import TrainedPack
from raysweep.runners.attempt import attempt
from raysweep.study.cells import expand
from raysweep.training import captured
from raysweep.training.inputs import PackData, TrainSettings
from raysweep.training.train import train_pack
from raysweep.trials.packing import Pack
from raysweep.trials.trial import Arm, Stage, Trial


class Cuda:
    """What is asked of `torch.cuda`, which cannot run here; a failed capture as before torch 2.12.

    There `capture_end` raises before the allocator is told, and so before the stream is restored.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[object] = []
        self.current = self.default = SimpleNamespace(
            wait_stream=lambda other: self.log.append("default waits")
        )
        self.side = SimpleNamespace(
            wait_stream=lambda other: self.log.append("side waits"), device_index=1
        )
        captured._side_stream.cache_clear()
        monkeypatch.setattr(captured, "_failed", set())
        for name, value in {
            "Stream": lambda device: self.side,
            "stream": self.stream,
            "graph": self.graph,
            "CUDAGraph": lambda: SimpleNamespace(replay=lambda: self.log.append("replay")),
            "graph_pool_handle": lambda: (0, 7),
            "current_stream": lambda device: self.current,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(
            torch._C, "_cuda_endAllocateToPool", lambda *given: self.log.append(given), False
        )

    @contextlib.contextmanager
    def stream(self, stream: object) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextlib.contextmanager
    def graph(self, graph: object, pool: object, stream: object) -> Iterator[None]:
        assert (pool, stream) == ((0, 7), self.side)
        before, self.current = self.current, stream
        try:
            yield
        except torch.OutOfMemoryError:
            self.current = before
            raise
        except RuntimeError:
            raise RuntimeError("operation failed due to a previous error during capture") from None
        self.current = before

    def step(self) -> None:
        self.log.append("step" if self.current is self.side else "step elsewhere")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cuda]:
    yield Cuda(monkeypatch)
    captured._side_stream.cache_clear()


def test_warm_up_and_capture_share_a_stream_and_keep_the_order(cuda: Cuda) -> None:
    graphs = captured.graphs_on(torch.device("cuda", 1))
    graphs.warm_up(cuda.step)
    assert cuda.log == ["side waits", "step", "default waits"]
    replay = graphs.capture(cuda.step)
    assert cuda.log[3:] == ["step"]
    replay()
    assert cuda.log[4:] == ["replay"]
    assert cuda.current is cuda.default
    assert captured.graphs_on(torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("error", "ended", "short"),
    [
        (RuntimeError("in the step"), False, False),
        (torch.AcceleratorError("CUDA error: out of memory"), False, True),
        (torch.OutOfMemoryError("in the step"), True, True),
    ],
)
def test_a_failed_capture_leaves_stream_and_allocator_as_they_were(
    cuda: Cuda, error: RuntimeError, ended: bool, short: bool
) -> None:
    def step() -> None:
        raise error

    device = torch.device("cuda", 1)
    with pytest.raises(RuntimeError):
        captured.graphs_on(device).capture(step)
    assert cuda.current is cuda.default
    assert cuda.log == ([] if ended else [(1, (0, 7))])
    assert (captured.graphs_on(device) is None) == (not short)  # half a pack may do


def on_a_gpu(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that cannot run elsewhere."""
    here = torch.cuda.is_available()
    return pytest.mark.gpu(pytest.mark.skipif(not here, reason="needs a CUDA device")(test))


def train(how: TrainSettings, shape: Architecture = TWO, loss: Gap | None = None) -> TrainedPack:
    return train_pack(shape, make_members(M), make_data(shape, ROWS, M), how, loss)


@on_a_gpu
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_captured_steps_train_as_eager_ones_and_as_the_cpu(
    loss: str, shape: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = []
    capture = captured.CudaGraphs.capture
    monkeypatch.setattr(
        captured.CudaGraphs, "capture", lambda *given: captures.append(1) or capture(*given)
    )
    # Rounding alone sends long float32 runs apart.
    how = settings(loss=loss, dtype=dtype, device="cuda", epochs=9 if dtype == "float64" else 3)
    found = train(how, SHAPES[shape])
    assert bool(captures) == build_loss(loss).capturable
    for other in ({"captured": False}, {"device": "cpu"}):
        expected = train(dataclasses.replace(how, **other), SHAPES[shape])
        if dtype == "float64":
            assert_same(found, expected, tolerance=1e-9)
        else:
            np.testing.assert_allclose(
                found.history.task_loss, expected.history.task_loss, rtol=1e-2
            )


@on_a_gpu
def test_captured_products_are_as_precise_as_asked_for() -> None:
    shape = MultimodalShape((64, 64), 8, depths=(2, 2), widths=(128, 128))
    members, data = make_members(M), make_data(shape, 1024, M)

    def ratio(**given: object) -> np.ndarray:
        how = settings(**{"epochs": 2, "batch_size": 512, "device": "cuda", **given})
        return train_pack(shape, members, data, how).gradient_ratio

    exact, plain = ratio(), ratio(dtype="float32")
    np.testing.assert_allclose(plain, exact, rtol=1e-4)
    assert (ratio(dtype="float32", tf32=True) != plain).any()


class ReadsBack(Gap):
    """Says that it can be captured, and cannot."""

    capturable = True

    def value(self, h1: torch.Tensor, h2: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        return super().value(h1, h2, own) * (1.0 if h1.sum().item() < 1e300 else 0.0)


@on_a_gpu
def test_after_a_failed_capture_the_gpu_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(captured, "_failed", set())
    stream = torch.cuda.current_stream()
    found = train(settings(device="cuda"), loss=ReadsBack())
    assert_same(found, train(settings(device="cuda", captured=False), loss=ReadsBack()))
    assert [message[:39] for message in caplog.messages] == [
        "a training step cannot be captured, so "
    ]
    assert torch.cuda.current_stream() == stream
    torch.cuda.empty_cache()
    torch.cuda.synchronize()
    monkeypatch.setattr(captured, "_failed", set())
    assert_same(train(settings(device="cuda")), train(settings(device="cuda", captured=False)))


@on_a_gpu
def test_a_pack_that_fills_the_gpu_is_halved(study_of: StudyFactory) -> None:
    study = study_of(
        "model.width=512", "model.depth=4", "training.batch_size=512", "data.train=1024",
        "training.dtype=float32", "resources.memory_per_pack=1000",
    )  # fmt: skip
    cell = expand(study)[0]
    trials = tuple(Trial(cell, 0, seed, 0.5, Arm.FORCED, Stage.CONFIRM, "") for seed in range(16))
    sizes: list[int] = []

    def train_piece(study: Study, piece: Pack, device: str) -> list[dict[str, int]]:
        sizes.append(len(piece.trials))
        [group] = loaded(study, piece.trials)
        data = PackData.of_views(group.views, group.dataset)
        train_pack(group.shape, group.members(), data, train_settings(study, device))
        return [{"seed": trial.seed} for trial in piece.trials]

    torch.cuda.reset_peak_memory_stats()
    train_piece(study, Pack(trials), "cuda")
    most = torch.cuda.max_memory_allocated() / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    sizes.clear()
    torch.cuda.set_per_process_memory_fraction(0.7 * most)
    try:
        rows = attempt(study, Pack(trials), "cuda", execute=train_piece)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert [row["seed"] for row in rows] == list(range(16))
    assert sizes[0] == 16
    assert len(sizes) > 2
