"""The examples in docstrings, beside those of the door (`tests/api`)."""

import doctest
import inspect

import pytest

import raysweep_analysis
from raysweep import losses, metrics

PUBLIC = (raysweep_analysis, metrics, losses)


def examples() -> list[doctest.DocTest]:
    """Those of the public modules and of what they offer."""
    finder = doctest.DocTestFinder(exclude_empty=True, recurse=False)
    shown = []
    for module in PUBLIC:
        shown += finder.find(module)
        for name in dir(module):
            found = getattr(module, name)
            if inspect.isfunction(found) or inspect.isclass(found):
                shown += finder.find(found, f"{module.__name__}.{name}", globs={})
    return shown


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_an_example_gives_what_it_says(example: doctest.DocTest) -> None:
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


def test_all_of_the_analysis_has_examples() -> None:
    shown = {example.name.rpartition(".")[2] for example in examples()}
    assert set(raysweep_analysis.__all__) <= shown
