"""Emergence on halves of digits: encoders of images and linear ones, in packs of any size."""

from pathlib import Path

import pandas as pd
import pytest
from tiny_emergence import study
from tiny_runs import opened, table

from raysweep.runners import local

DIGITS = {"dataset": "digits", "overlap": 0, "train": 64, "validation": 32, "test": 64}


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["linear", "cnn", "vit"])
def test_no_number_depends_on_the_pack(tmp_path: Path, encoder: str) -> None:
    options = {} if encoder == "linear" else {"dropout": 0.1}
    if encoder == "vit":
        options |= {"patch_size": 2, "heads": 2}
    found = []
    for members in (3, 12):
        wanted = study(
            data=DIGITS,
            model__encoder=encoder,
            model__options=options,
            resources__members_per_pack=members,
        )
        folder = tmp_path / str(members)
        local.run(wanted, opened(folder, wanted))
        found.append(table(folder).set_index("key").sort_index())
    small, large = found
    assert set(small["depth_2"]) == {1, 3}
    numbers = [c for c in small if c.startswith(("performance_", "loss_", "alignment_"))]
    numbers = [c for c in numbers if small[c].dtype == float and small[c].notna().all()]
    assert {"performance_2_test", "alignment_unbiased_cka_test"} <= set(numbers)
    pd.testing.assert_frame_equal(small[numbers], large[numbers], atol=1e-10, rtol=0)
