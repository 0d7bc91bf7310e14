"""Features of images, against the models themselves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from feature_layers import layers
from PIL import Image
from tiny_models import CLIP_TEXT, SEEN, VISION, WIDE, save_processor, save_vision_model
from tiny_models import save_tokenizer as saved_tokenizer

from raysweep.features.extract import extract_features
from raysweep.features.store import metadata_of

transformers = pytest.importorskip("transformers")

ROWS = 13
PREFIX = {"dinov2_registers": 5, "dinov3": 5, "siglip": 0}
FINAL_NORMS = dict.fromkeys(VISION, "layernorm") | {
    "dinov3": "norm",
    "siglip": "post_layernorm",
    "clip": "post_layernorm",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of model, as a folder."""
    root = tmp_path_factory.mktemp("models")
    return {name: save_vision_model(root / name, name) for name in VISION}


def one_by_one(folder: Path, table: Path) -> list[list[torch.Tensor]]:
    """The states [tokens, d] of each layer, of each image alone, resized by Pillow."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    inputs = {}
    if folder.name == "mae":
        model.config.mask_ratio = 0.0
        inputs["noise"] = torch.arange(16.0)[None]
    found = []
    with torch.no_grad():
        for row in range(ROWS):
            with Image.open(table.parent / f"image_{row}.png") as image:
                small = image.resize((32, 32), Image.Resampling.BILINEAR)
            pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 255
            states = model(
                pixel_values=(pixels - 0.5) / 0.5, output_hidden_states=True, **inputs
            ).hidden_states
            found.append([state[0] for state in states])
    return found


@pytest.mark.parametrize("name", VISION)
def test_features_are_those_of_each_image_alone(
    saved: dict[str, Path], table: Path, tmp_path: Path, name: str
) -> None:
    alone = one_by_one(saved[name], table)
    prefix = PREFIX.get(name, 1)
    for pooling in ("mean", "class") if prefix else ("mean",):
        out = tmp_path / pooling
        (made,) = extract_features(
            [saved[name]], table, out, image=["picture"], pooling=pooling, batch_size=4
        )
        assert made.failure == ""
        assert metadata_of(made.files[0])["prefix_tokens"] == str(prefix)
        for place, features in enumerate(layers(made.files[0])):
            states = [row[place] for row in alone]
            right = [x[0] if pooling == "class" else x[prefix:].mean(dim=0) for x in states]
            expected = torch.stack(right).double().numpy()
            assert np.abs(features - expected).max() <= 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize("name", VISION)
def test_batches_do_not_matter(
    saved: dict[str, Path], table: Path, tmp_path: Path, name: str
) -> None:
    found = []
    for size in (1, 13):
        out = tmp_path / str(size)
        (made,) = extract_features([saved[name]], table, out, image=["picture"], batch_size=size)
        found.append(layers(made.files[0]))
    for one, other in zip(*found, strict=True):
        assert np.abs(one - other).max() <= 1e-6 * np.abs(one).max()


@pytest.mark.parametrize("name", VISION)
def test_the_last_layer_is_before_the_final_norm_unless_it_is_asked_for(
    saved: dict[str, Path], table: Path, tmp_path: Path, name: str
) -> None:
    pooling = "class" if PREFIX.get(name, 1) else "mean"
    last, said = {}, {}
    for wanted in ("as_is", "with", "without"):
        (made,) = extract_features(
            [saved[name]],
            table,
            tmp_path / wanted,
            image=["picture"],
            pooling=pooling,
            final_norm=wanted,
        )
        assert made.failure == ""
        last[wanted], said[wanted] = layers(made.files[0])[-1], metadata_of(made.files[0])
    np.testing.assert_array_equal(last["as_is"], last["without"])
    assert said["as_is"]["last_layer"] == "before the final norm"
    assert said["with"]["last_layer"] == "after the final norm"
    assert said["with"]["final_norm_module"] == FINAL_NORMS[name]
    model = transformers.AutoModel.from_pretrained(saved[name]).eval()
    norm = model.get_submodule(FINAL_NORMS[name])
    with torch.no_grad():
        if pooling == "class":
            expected = norm(torch.from_numpy(last["without"])).numpy()
        else:
            states = [row[-1] for row in one_by_one(saved[name], table)]
            expected = torch.stack([norm(x).mean(dim=0) for x in states]).numpy()
    np.testing.assert_allclose(last["with"], expected, rtol=1e-4, atol=1e-5)


def test_a_model_of_two_towers_takes_both_columns(table: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=CLIP_TEXT, vision_config={**WIDE, **SEEN})
    folder = tmp_path / "clip"
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(folder)
    saved_tokenizer(folder, "bert")
    save_processor(folder)
    out = tmp_path / "out"
    (made,) = extract_features([folder], table, out, text=["caption"], image=["picture"])
    assert made.failure == ""
    assert [path.name for path in made.files] == [
        "clip.caption.safetensors",
        "clip.picture.safetensors",
    ]
    with Image.open(table.parent / "image_0.png") as image:
        small = image.resize((32, 32), Image.Resampling.BILINEAR)
    pixels = (torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
    with torch.no_grad():
        output = model.vision_model(pixel_values=pixels, output_hidden_states=True)
    expected = output.hidden_states[-1][0, 0].numpy()
    np.testing.assert_allclose(layers(made.files[1])[-1][0], expected, rtol=1e-4, atol=1e-5)


def test_what_an_image_has_not_is_told(saved: dict[str, Path], table: Path, tmp_path: Path) -> None:
    models = [saved["siglip"], saved["vit"]]
    siglip, _ = extract_features(models, table, tmp_path, image=["picture"], pooling="class")
    assert "has no class token; give --pooling mean" in siglip.failure
    _, vit = extract_features(models, table, tmp_path / "l", image=["picture"], pooling="last")
    assert "--pooling last is for texts" in vit.failure


def test_an_image_that_is_none_is_named(saved: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "t.csv").write_text("picture\nbroken.png\n")
    out = tmp_path / "out"
    (made,) = extract_features([saved["vit"]], tmp_path / "t.csv", out, image=["picture"])
    assert "picture in row 0" in made.failure
    assert "broken.png cannot be read as an image" in made.failure
