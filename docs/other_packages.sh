#!/usr/bin/env bash
# The numbers of other packages in other_packages.md: installs the versions that the page names,
# runs them on the arrays of the page, and fails where one gives another number than its row says.
# Takes a download of torch and a compiler (repsim); not part of the tests.
set -euo pipefail
page=$(cd "$(dirname "$0")" && pwd)/other_packages.md
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv v && v/bin/pip install -q torch==2.13.0 numpy==2.4.6 scipy==1.17.1 \
    scikit-learn==1.9.1 statsmodels==0.15.0 cka-pytorch==1.1.3 pytorch-cka==1.1.3 \
    torch-cka==0.21 ckatorch==1.0.3 simtorch==0.2.1 repsim==0.1.5 \
    rsatoolbox==0.3.2 cca-zoo==4.0.1
# Pulled in, not needed here, and not to be imported beside a torch of another build (CPU, CUDA).
v/bin/pip uninstall -q -y torchvision
v/bin/python - "$page" <<'P'
import re
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import repsim
import rsatoolbox
import torch
from cca_zoo.linear import CCA
from cka import cka_from_features
from cka_pytorch.cka import CKACalculator
from ckatorch import CKA as OfSets
from scipy.stats import spearmanr
from simtorch.model import SimilarityModel
from simtorch.similarity import CKA as Summed
from sklearn.feature_selection import mutual_info_classif
from statsmodels.stats.multitest import multipletests
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch_cka import CKA as Paired

warnings.simplefilter("ignore")
page = Path(sys.argv[1]).read_text()
blocks = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
for block in blocks:
    if "raysweep" not in block:
        exec(block)


class Columns(nn.Module):
    """A model whose layer `part` gives some columns of its input as they are."""

    def __init__(self, start, stop):
        super().__init__()
        self.part, self.columns = nn.Identity(), slice(start, stop)
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, z):
        return self.part(z[..., self.columns])


def models():
    return Columns(0, 16), Columns(16, 32)


def rows(x, y):
    return torch.from_numpy(np.hstack([x, y])).float()


def loader(x, y, batch, shuffle=False):
    z = rows(x, y)
    return DataLoader(TensorDataset(z, torch.zeros(len(z))), batch_size=batch, shuffle=shuffle)


def cka_pytorch():
    calculator = CKACalculator(*models(), ["part"], ["part"], verbose=False)
    return calculator.calculate_cka_matrix(loader(0.1 * x, 0.1 * y, 64), num_epochs=1).item()


def pytorch_cka():
    return cka_from_features(*(torch.from_numpy(side + 100).float() for side in (x, y))).item()


def torch_cka():
    torch.manual_seed(0)
    compared = Paired(*models(), "first", "second", ["part"], ["part"])
    compared.compare(loader(x, x, 32, shuffle=True))
    return compared.export()["CKA"].item()


def ckatorch():
    sets = TensorDataset(rows(x, half).reshape(4, 16, 32))
    return OfSets(*models(), ["part"])(DataLoader(sets, batch_size=2), epochs=1).item()


def simtorch():
    sides = [SimilarityModel(model, "model", ["part"]) for model in models()]
    return Summed(*sides).compute(loader(x, x, 16)).item()


def rsa(of=None, by=None):
    sides = [rsatoolbox.data.Dataset(side) for side in (x, y)]
    first, second = (rsatoolbox.rdm.calc_rdm(side, **of or {}) for side in sides)
    return rsatoolbox.rdm.compare(first, second, **by or {}).item()


found = {
    "cka-pytorch": cka_pytorch(),
    "pytorch-cka": pytorch_cka(),
    "torch-cka": torch_cka(),
    "ckatorch": ckatorch(),
    "simtorch": simtorch(),
    "repsim": repsim.cka([x, x], "linear", "song")[0, 1],
    "rsatoolbox": rsa(),
    "cca-zoo": CCA().fit([x, y]).score([x, y]),
    "scikit-learn": mutual_info_classif(*copies, random_state=0)[0],
    "SciPy": spearmanr(range(5), range(5)).pvalue,
    "statsmodels": multipletests([0.01, 0.04, np.nan], method="holm")[1][0],
}
said = re.findall(r"^\| (\S+ \d\S*) \|(?:[^|]*\|){2} (\S+) \|", page, re.MULTILINE)
seen = [(f"{name} {version(name)}", f"{number:.4f}") for name, number in found.items()]
print("\n".join(f"{name:22}{number}" for name, number in seen))
assert seen == said, (seen, said)

# What the page says to do gives what is right.
advised = {
    "rsa": rsa({"method": "correlation"}, {"method": "spearman"}),
    "cka": rsa({"method": "euclidean"}, {"method": "cosine_cov"}),
    "mean_cca": CCA(n_components=16).fit([x, y]).score([x, y]),
}
for metric, number in advised.items():
    assert f'measure("{metric}", x, y)  # {number:.4f}\n' in page, (metric, number)
P
