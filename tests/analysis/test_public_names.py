"""What `raysweep.analysis` offers, and that it is light until it is asked."""

import pkgutil
import subprocess
import sys

import pytest

from raysweep import analysis

LOOK = """
import sys
import raysweep_analysis
print(*(name for name in ("numpy", "pandas", "scipy", "matplotlib") if name in sys.modules))
"""


def test_nothing_heavy_is_imported_before_a_name_is_asked_for() -> None:
    assert subprocess.check_output([sys.executable, "-c", LOOK], text=True).split() == []


def test_no_public_name_is_that_of_a_module_which_would_take_its_place() -> None:
    modules = {module.name for module in pkgutil.iter_modules(analysis.__path__)}
    assert not modules & set(analysis.__all__)


def test_every_public_name_is_a_function_of_that_name() -> None:
    assert dir(analysis) == sorted(analysis.__all__)
    for name in analysis.__all__:
        function = getattr(analysis, name)
        assert function.__name__ == name
        assert function.__module__.startswith("raysweep_analysis.")


def test_another_name_is_told() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = analysis.nothing
