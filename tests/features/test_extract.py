"""Several models on a table: what is done is kept, what is wrong is told before anything runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import own_vision
import pytest
import torch
from feature_layers import layers
from PIL import Image
from tiny_runs import SUPPORT

from raysweep.errors import InputError
from raysweep.features.extract import extract_features
from raysweep.features.store import metadata_of
from raysweep.metrics import measure_models

ROWS = 13
OWN = "own_vision:model"
SLOW = "own_vision:slow"
Told = tuple[list[str], Callable[[str], None]]


def expected(table: Path) -> list[np.ndarray]:
    module, prepare = own_vision.model()
    rows = []
    for row in range(ROWS):
        with Image.open(table.parent / f"image_{row}.png") as image, torch.no_grad():
            places, flat = module(prepare(image)[None])
        rows.append((places.flatten(2).mean(dim=2)[0].numpy(), flat[0].numpy()))
    return [np.stack(layer) for layer in zip(*rows, strict=True)]


def test_a_module_of_ones_own_is_run_on_images_that_are_each_read_once(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(own_vision.PREPARED, str(tmp_path / "prepared"))
    (made,) = extract_features([OWN], table, tmp_path / "out", image=["picture"], batch_size=5)
    assert made.failure == ""
    assert (tmp_path / "prepared").stat().st_size == ROWS
    monkeypatch.delenv(own_vision.PREPARED)
    assert [path.name for path in made.files] == ["own_vision.model.picture.safetensors"]
    for found, right in zip(layers(made.files[0]), expected(table), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)


def test_what_is_done_is_skipped_and_what_was_made_otherwise_is_left(
    table: Path, tmp_path: Path, told: Told
) -> None:
    lines, tell = told
    (first,) = extract_features([OWN], table, tmp_path, image=["picture"])
    stamp = first.files[0].stat().st_mtime_ns
    (again,) = extract_features([OWN], table, tmp_path, image=["picture"], tell=tell)
    assert (again.skipped, first.skipped) == (1, 0)
    assert first.files[0].stat().st_mtime_ns == stamp
    assert lines == [f"{OWN}: 1 of 1 done before"]
    with pytest.raises(InputError, match="was made otherwise: pooling is default there, mean now"):
        extract_features([OWN], table, tmp_path, image=["picture"], pooling="mean")
    # Other rows are other features, though the file has the same name.
    other = table.parent / "fewer.jsonl"
    other.write_text("\n".join(table.read_text().splitlines()[:5]))
    with pytest.raises(InputError, match=r"content is sha256.*rows is 13 there, 5 now"):
        extract_features([OWN], other, tmp_path, image=["picture"])
    assert first.files[0].stat().st_mtime_ns == stamp


def test_models_are_compared_from_their_files(table: Path, tmp_path: Path) -> None:
    first, second = extract_features([OWN, SLOW], table, tmp_path, image=["picture"])
    sides = {"one": list(map(str, first.files)), "other": list(map(str, second.files))}
    every = measure_models(sides, {"mutual_knn": {"topk": 3}}, permutations=0, every_pair=True)
    assert every["model_1"].unique() == ["own_vision.model.picture"]
    assert list(every["layer_1"]) == [0, 0, 1, 1]
    assert list(every["value"][every["layer_1"] == every["layer_2"]]) == [1.0, 1.0]


@pytest.mark.slow
def test_a_killed_process_keeps_the_models_that_were_done(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "raysweep", "features", OWN, SLOW, "--data", str(table)]
    command += ["--image", "picture", "--out", str(out), "--batch-size", "1"]
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    process = subprocess.Popen(
        command,
        env={**environment, own_vision.SLOW: "0.2"},
        cwd=SUPPORT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("own_vision.slow, picture: 2 of"):
            process.send_signal(signal.SIGKILL)
            break
    process.stderr.close()
    assert process.wait(60) == -signal.SIGKILL
    done = out / "own_vision.model.picture.safetensors"
    stamp = done.stat().st_mtime_ns
    unfinished = [path for path in out.iterdir() if path != done]
    assert [path.suffix for path in unfinished] == [".tmp"]
    past = time.time() - 7200
    os.utime(unfinished[0], (past, past))
    again = subprocess.run(
        command, env=environment, cwd=SUPPORT, capture_output=True, text=True, timeout=120
    )
    assert again.returncode == 0, again.stderr
    assert f"{OWN}: 1 of 1 done before" in again.stderr
    assert done.stat().st_mtime_ns == stamp
    made = out / "own_vision.slow.picture.safetensors"
    assert again.stdout.split() == [str(done), str(made)]
    assert sorted(out.iterdir()) == [done, made]
    for one, other in zip(layers(done), layers(made), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_that_fails_does_not_end_the_others(table: Path, tmp_path: Path) -> None:
    (table.parent / "broken.png").write_bytes(b"not a picture")
    broken = table.parent / "broken.jsonl"
    broken.write_text('{"picture": "image_0.png"}\n{"picture": "broken.png"}')
    made = extract_features([OWN, SLOW], broken, tmp_path, image=["picture"])
    assert all("picture in row 1" in one.failure for one in made)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([OWN], {}, "no column is given"),
        ([], {"image": ["picture"]}, "no model is given"),
        ([OWN], {"text": ["caption"]}, "takes image, and no such column is given; give --image"),
        ([OWN], {"image": ["photo"]}, "has no column 'photo'; it has caption, picture"),
        ([OWN], {"image": ["picture", "picture"]}, "the column picture is given twice"),
        ([OWN], {"image": ["picture"], "pooling": "max"}, "--pooling max: expected mean, last"),
        ([OWN], {"image": ["picture"], "runner": "dask"}, "--runner dask: expected local or ray"),
        ([OWN], {"image": ["picture"], "gpus_per_model": 1}, "--gpus-per-model 1: .* for --runner"),
        (["own_vision:none"], {"image": ["picture"]}, "returned Two; expected a pair"),
        (["own_vision:nothing"], {"image": ["picture"]}, "own_vision has nothing of that name"),
        (["./nowhere"], {"image": ["picture"]}, "./nowhere: no such folder; give one with"),
    ],
)
def test_mistakes_are_told_before_anything_is_run(
    table: Path, tmp_path: Path, models: list[str], options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        extract_features(models, table, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.ray
def test_models_side_by_side_give_the_same_files(
    table: Path, tmp_path: Path, told: Told, ray_here: None
) -> None:
    lines, tell = told
    options = {"image": ["picture"], "device": "cpu"}
    alone = extract_features([OWN, SLOW], table, tmp_path / "alone", **options)
    beside = extract_features(
        [OWN, SLOW], table, tmp_path / "ray", runner="ray", gpus_per_model=0.5, tell=tell, **options
    )
    assert [one.failure for one in beside] == ["", ""]
    assert sorted(line.partition("(")[2] for line in lines) == ["1 of 2 models)", "2 of 2 models)"]
    for one, other in zip(alone, beside, strict=True):
        assert one.files[0].read_bytes() == other.files[0].read_bytes()
        assert metadata_of(one.files[0])["rows"] == str(ROWS)
    with pytest.raises(
        InputError, match=r"--gpus-per-model 2: no node has so many \(the most is 1"
    ):
        extract_features([OWN], table, tmp_path / "two", runner="ray", gpus_per_model=2, **options)
