"""Features of both towers of open_clip, against the states that hooks see of one sample."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feature_layers import layers
from PIL import Image
from tiny_models import texts

from raysweep.features.extract import extract_features
from raysweep.features.store import metadata_of

open_clip = pytest.importorskip("open_clip")
safetensors = pytest.importorskip("safetensors.torch")

ROWS, DEPTH, CONTEXT = 13, 2, 16
TOWER = {"layers": DEPTH, "width": 64, "heads": 2}
SETTINGS = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "patch_size": 8,
            "head_width": 32,
            "layers": 2,
            "width": 64,
        },
        "text_cfg": {"context_length": CONTEXT, "vocab_size": 49408, **TOWER},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
}


@pytest.fixture(scope="module", params=[False, True], ids=["one module", "a module of texts"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as open_clip pushes it to a hub, its norms no identities."""
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    settings = json.loads(json.dumps(SETTINGS))
    settings["model_cfg"]["custom_text"] = request.param
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, 0.5, 0.3)
    safetensors.save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def loaded(folder: Path) -> Any:
    return open_clip.create_model_from_pretrained(
        f"local-dir:{folder}", return_transform=False
    ).eval()


def seen_by(blocks: Any, run: Any) -> list[torch.Tensor]:
    """What hooks on blocks see of one sample: [tokens, d] each."""
    seen: list[torch.Tensor] = []
    handles = [
        block.register_forward_hook(lambda module, given, found: seen.append(found[0]))
        for block in blocks
    ]
    with torch.no_grad():
        run()
    for handle in handles:
        handle.remove()
    return seen


def image_states(model: Any, table: Path, row: int) -> list[torch.Tensor]:
    with Image.open(table.parent / f"image_{row}.png") as image:
        short = min(image.size)
        size = tuple(int(32 * of / short) for of in image.size)
        resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    left, top = (round((of - 32) / 2) for of in resized.size)
    cropped = np.array(resized.crop((left, top, left + 32, top + 32)))
    pixels = (torch.from_numpy(cropped).permute(2, 0, 1)[None] / 255 - 0.5) / 0.25
    return seen_by(model.visual.transformer.resblocks, lambda: model.encode_image(pixels))


def text_states(model: Any, text: str) -> tuple[list[torch.Tensor], int]:
    """The states of a text, and how many tokens are its own."""
    ids = open_clip.SimpleTokenizer(context_length=CONTEXT)([text])
    tower = getattr(model, "text", model)
    states = seen_by(tower.transformer.resblocks, lambda: model.encode_text(ids))
    return states, int(ids[0].argmax()) + 1  # the end of a text has the largest id


def test_texts_are_those_of_each_text_alone(saved: Path, table: Path, tmp_path: Path) -> None:
    model = loaded(saved)
    alone = [text_states(model, text) for text in texts(ROWS)]
    norm = getattr(model, "text", model).ln_final
    for pooling in ("mean", "last"):
        for wanted in ("as_is", "with"):
            (made,) = extract_features(
                [saved],
                table,
                tmp_path / pooling / wanted,
                text=["caption"],
                pooling=pooling,
                final_norm=wanted,
                batch_size=4,
            )
            assert made.failure == ""
            found = layers(made.files[0])
            assert len(found) == DEPTH
            for place, features in enumerate(found):
                right = []
                for states, length in alone:
                    state = states[place]
                    if wanted == "with" and place == DEPTH - 1:
                        with torch.no_grad():
                            state = norm(state)
                    right.append(state[length - 1] if pooling == "last" else state[:length].mean(0))
                expected = torch.stack(right).double().numpy()
                assert np.abs(features - expected).max() <= 5e-6 * np.abs(expected).max()


def test_images_are_those_of_each_image_alone(saved: Path, table: Path, tmp_path: Path) -> None:
    model = loaded(saved)
    alone = [image_states(model, table, row) for row in range(ROWS)]
    for pooling in ("class", "mean"):
        (made,) = extract_features(
            [saved], table, tmp_path / pooling, image=["picture"], pooling=pooling, batch_size=4
        )
        assert made.failure == ""
        assert metadata_of(made.files[0])["prefix_tokens"] == "1"
        for place, features in enumerate(layers(made.files[0])):
            states = [row[place] for row in alone]
            right = [x[0] if pooling == "class" else x[1:].mean(dim=0) for x in states]
            expected = torch.stack(right).double().numpy()
            assert np.abs(features - expected).max() <= 5e-6 * np.abs(expected).max()


def test_longer_texts_are_counted_as_cut(saved: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"caption": "a cat " * times}) for times in (1, 7, 8, 20)]
    (tmp_path / "long.jsonl").write_text("\n".join(lines))
    (made,) = extract_features([saved], tmp_path / "long.jsonl", tmp_path / "out", text=["caption"])
    assert made.failure == ""
    # 2 words each time, and a token before and behind: 16 fit.
    assert metadata_of(made.files[0])["texts_cut"] == "2"


def test_what_it_has_not_is_told(saved: Path, table: Path, tmp_path: Path) -> None:
    for option, words in (
        ({"pooling": "class"}, "has no class token; give --pooling mean or last"),
        ({"max_tokens": 8}, "takes 16, which all texts are padded to; leave it out"),
    ):
        (made,) = extract_features([saved], table, tmp_path / "out", text=["caption"], **option)
        assert words in made.failure


def test_weights_that_are_not_there_are_told(saved: Path, table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lacking"
    folder.mkdir()
    settings = saved / "open_clip_config.json"
    (folder / settings.name).write_bytes(settings.read_bytes())
    (made,) = extract_features([folder], table, tmp_path / "out", image=["picture"])
    assert "open_clip cannot load it" in made.failure
