"""Long tests of faults: `make test-faults`, or pytest -m faults tests/faults; else left out."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: a long test of a fault, run by make test-faults")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    long = [item for item in items if item.path.is_relative_to(HERE)]
    for item in long:
        item.add_marker("faults")
    if "faults" not in (config.option.markexpr or ""):
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
