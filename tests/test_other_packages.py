"""The page about other packages: its blocks run and give the numbers that stand beside them."""

import re
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import reference

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "other_packages.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
STATED = re.compile(r"^(?P<code>\S.*?)  # (?P<number>[\d.]+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def names() -> dict[str, object]:
    found: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "other_packages.md", "exec"), found)
    return found


@pytest.mark.parametrize("stated", [*STATED.finditer(PAGE)], ids=lambda s: s["code"])
def test_a_line_gives_the_number_beside_it(stated: re.Match, names: dict[str, object]) -> None:
    assert f"{eval(stated['code'], names):.4f}" == stated["number"]


def test_what_is_right_in_a_table_is_the_number_of_a_line() -> None:
    numbers = {stated["number"] for stated in STATED.finditer(PAGE)} | {"0"}
    right = [row.split(" | ")[4] for row in PAGE.splitlines() if re.match(r"\| \S+ \d", row)]
    assert len(right) == 11
    assert set(right) <= numbers


def test_what_is_right_is_so_by_the_definition(names: dict[str, object]) -> None:
    x, y, half = (np.asarray(names[name]) for name in ("x", "y", "half"))
    for hsic, other, number in (
        (reference.hsic_biased, y, 0.6275),
        (reference.hsic_unbiased, y, 0.5368),
        (reference.hsic_unbiased, half, 0.6280),
    ):
        kernels = reference.linear_kernel(x), reference.linear_kernel(other)
        assert reference.aligned(hsic, *kernels) == pytest.approx(number, abs=5e-5)
    ranks = np.arange(5)
    extreme = [abs(np.corrcoef(ranks, order)[0, 1]) > 1 - 1e-9 for order in permutations(ranks)]
    assert np.mean(extreme) == pytest.approx(2 / 120)
