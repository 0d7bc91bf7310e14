"""The memory estimates against the peak of a process that trains such packs."""

import subprocess
import sys
from collections.abc import Sequence

import pytest
from tiny_runs import SUPPORT

from raysweep.losses import LOSSES, pairwise_elements
from raysweep.models.memory import PackSize
from raysweep.models.shape import MultimodalShape

MEASURE = """
import ctypes, sys
from tiny_two_cells import tiny
from raysweep.kinds.forcing.groups import loaded, train_settings
from raysweep.kinds.forcing.memory import pack_bytes
from raysweep.study.cells import expand
from raysweep.trials.packing import Pack
from raysweep.training.inputs import PackData
from raysweep.training.train import train_pack
from raysweep.trials.trial import Arm, Stage, Trial

def status(key):
    line = open("/proc/self/status").read().split(key + ":")[1]
    return int(line.split()[0]) * 1024

def peak(run):
    ctypes.CDLL(None).malloc_trim(0)
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmRSS")
    run()
    return status("VmHWM") - before
"""
PACKS = """
def pack(loss, cells, members, train, batch, encoder="mlp"):
    study = tiny(
        f"alignment.loss={loss}", f"model.encoder={encoder}", f"training.engine={sys.argv[1]}",
        f"data.train={train}", "data.validation=1600", "training.epochs=1",
        f"training.batch_size={batch}", "training.dtype=float32", "model.depth=4", "model.width=32",
        f"data.U={list(range(cells))}",
    )
    trials = tuple(
        Trial(cell, draw, seed, 0.5, Arm.FORCED, Stage.CONFIRM, "")
        for cell in expand(study)
        for draw, seed in [(seed % 2 if cells > 1 else 0, seed) for seed in range(members)]
    )
    return study, trials

def train(study, group):
    train_pack(
        group.shape, group.members(),
        PackData.of_views(group.views, group.dataset), train_settings(study),
    )

for what in sys.argv[2:]:
    loss, *sizes = (int(w) if w.isdigit() else w for w in what.split("/"))
    small, trials = pack(loss, 1, 2, 512, 512)
    train(small, *loaded(small, trials))
    study, trials = pack(loss, *sizes)
    [group] = loaded(study, trials)
    measured = peak(lambda: train(study, group))
    print(what, pack_bytes(study, Pack(trials)) / measured, measured / 1e6)
"""
OWN = (
    PACKS.rpartition("for what in")[0]
    + """
batch = int(sys.argv[2])
for name in sys.argv[3:]:
    encoder = f"own_encoders:{name}"
    small, trials = pack("cka", 1, 2, 512, 512, encoder)
    train(small, *loaded(small, trials))
    study, trials = pack("cka", 1, 2 if name == "attention" else 8, 1024, batch, encoder)
    [group] = loaded(study, trials)
    measured = peak(lambda: train(study, group))
    print(name, pack_bytes(study, Pack(trials)) / measured, measured / 1e6)
"""
)
TRANSFORMERS = (
    PACKS.rpartition("for what in")[0]
    .replace('"data.validation', '*options, "data.validation')
    .replace('encoder="mlp")', "encoder, *options)")
    + """
for what in sys.argv[2:]:
    options = ["model.options.patches=12", *(f"model.options.{o}" for o in what.split(","))]
    small, trials = pack("cka", 1, 2, 512, 512, "transformer", *options)
    train(small, *loaded(small, trials))
    study, trials = pack("cka", 1, 4, 1024, 256, "transformer", *options)
    [group] = loaded(study, trials)
    measured = peak(lambda: train(study, group))
    print(what, pack_bytes(study, Pack(trials)) / measured, measured / 1e6)
"""
)
FAMILY = """
from tiny_emergence import study
from raysweep.data.registry import load
from raysweep.kinds.emergence.memory import family_bytes
from raysweep.kinds.emergence.plan import EmergenceSweep
from raysweep.kinds.emergence.run import run_family

def pack(train, width, rows):
    wide = study(
        data__train=train, data__test=rows, model__width=width, evaluation__rows=rows,
        training__batch_size=256, training__epochs=1, training__engine=sys.argv[1],
        training__dtype="float32", seeds=8, resources__members_per_pack=16,
        evaluation__metrics={"unbiased_cka": {}}, training__epochs_1=1,
    )
    return wide, EmergenceSweep(wide).next_pack()

run_family(*pack(256, 6, 32))
made = pack(4096, 64, 512)
for trial in made[1].trials:  # making the data is no part of the estimate
    load(trial.cell.dataset, dict(trial.cell.parameters), trial.draw)
measured = peak(lambda: run_family(*made))
print("family", family_bytes(*made) / measured, measured / 1e6)
"""


def lines(code: str, *arguments: str) -> list[list[str]]:
    run = subprocess.run(
        [sys.executable, "-c", MEASURE + code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=SUPPORT,
    )
    return [line.split() for line in run.stdout.splitlines()]


# The engine's own few megabytes count in packs as small as these.
LOWEST, HIGHEST = 0.5, 2.5
# Loss, cells, members a cell, training rows, batch. Nine cells of two draws have data that weigh
# most; with small batches, the activations of validation rows do.
LOSSES_ASKED = ("infonce", "cka", "vicreg", "soft_knn")
ASKED = [*(f"{loss}/1/32/2048/512" for loss in LOSSES_ASKED), "cka/9/4/16384/512"]
SMALL_BATCHES = "cka/1/64/2048/64"


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("engine", ["kernel", "torch"])
@pytest.mark.parametrize(("code", "what"), [(PACKS, ASKED), (FAMILY, ())], ids=["pairs", "family"])
def test_the_estimate_is_near_the_measured_peak(
    engine: str, code: str, what: Sequence[str]
) -> None:
    found = {name: float(ratio) for name, ratio, _ in lines(code, engine, *what)}
    assert len(found) == max(1, len(what))
    assert all(LOWEST < ratio < HIGHEST for ratio in found.values()), found


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_activations_that_are_kept_of_every_batch_size_count() -> None:
    [(_, ratio, _)] = lines(PACKS, "torch", SMALL_BATCHES)
    assert 0.8 < float(ratio) < HIGHEST


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("batch", ["64", "512"])
def test_the_estimate_of_a_users_own_encoders_is_on_the_safe_side(batch: str) -> None:
    found = {
        name: float(ratio)
        for name, ratio, _ in lines(OWN, "torch", batch, "residual", "convolution", "attention")
    }
    assert len(found) == 3
    assert all(0.8 < ratio < HIGHEST for ratio in found.values()), found


@pytest.mark.parametrize("loss", LOSSES)
def test_only_losses_over_all_pairs_of_samples_have_their_matrices(loss: str) -> None:
    expected = {"infonce", "siglip", "soft_knn", "uniformity"}
    assert (pairwise_elements(loss, 4, 64, True) == 4 * 64**2) == (loss in expected)
    # A few members at a time where there are many; a user's own function has them all at once.
    assert pairwise_elements(loss, 1000, 512, True) in (0, 2 * 512**2)
    assert pairwise_elements("mine:loss", 1000, 512, True) == 1000 * 512**2


def test_the_estimate_grows_with_what_a_pack_holds() -> None:
    def size(**changed: object) -> PackSize:
        given = {
            "shape": MultimodalShape((12, 12), 4, depths=(2, 2), widths=(32, 32)),
            "members": 10,
            "aligned": 8,
            "datasets": 1,
            "orders": 10,
            "rows": (4096, 1024),
            "batch_size": 256,
        }
        return PackSize(**{**given, **changed})

    for method in (PackSize.kernel_bytes, PackSize.torch_bytes):
        least = method(size())
        for changed in (
            {"shape": MultimodalShape((12, 12), 4, depths=(4, 2), widths=(32, 32))},
            {"members": 20},
            {"datasets": 2},
            {"orders": 40},
            {"rows": (8192, 1024)},
            {"batch_size": 512},
            {"itemsize": 8},
            {"alignment_parameters": 1000},
            {"pairwise": 8 * 256**2},
        ):
            assert method(size(**changed)) > least
    assert size().kernel_bytes(asked=True) > size().kernel_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_transformers_take_what_is_estimated() -> None:
    found = lines(TRANSFORMERS, "auto", "heads=2", "pooling=class", "dropout=0.1")
    assert all(0.8 < float(ratio) < HIGHEST for _, ratio, _ in found), found
