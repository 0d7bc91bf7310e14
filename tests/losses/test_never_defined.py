"""A user's own loss that is NaN on all that it is tried on is named, with where NaN comes from."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_two_cells import StudyFactory

from raysweep.kinds.kind import kind_of

SOURCE = """
def log_of_negative(h1, h2):
    near = (h1 - h2).square().mean()
    return near + (-1 - h1.square()).log().mean()


def root_at_zero(h1, h2):
    near = (h1 - h2).square().mean()
    return near + (h1 - h1).square().sum(1).sqrt().mean()


def of_positive(h1, h2):
    return (h1.log() - h2.log()).square().mean()


def of_captions(h1, h2, same_group):
    return -(h1 @ h2.T).log_softmax(1)[same_group].mean()


def power(h1, h2, p):
    return (h1 - h2).square().mean() * float("nan") ** p
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "own_undefined.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_undefined"
    sys.modules.pop("own_undefined", None)


def doubts(study_of: StudyFactory, *overrides: str) -> list[str]:
    study = study_of(*overrides)
    return kind_of(study).doubts(study)


def test_a_value_that_is_always_nan_is_named_with_its_line(
    study_of: StudyFactory, own: str
) -> None:
    [told] = doubts(study_of, f"alignment.loss={own}:log_of_negative")
    assert told == (
        f"alignment.loss: loss {own}:log_of_negative, tried on 16 rows of 8 and 8 features: the "
        "value is NaN whatever it is tried on, so that nothing may be forced: the first is that of "
        "torch.Tensor.log; own_undefined.py, line 4: "
        "return near + (-1 - h1.square()).log().mean()"
    )


def test_a_gradient_that_always_has_nan_is_named_with_its_line(
    study_of: StudyFactory, own: str
) -> None:
    [told] = doubts(study_of, f"alignment.loss={own}:root_at_zero")
    assert "the gradient has NaN whatever it is tried on" in told
    assert "Function 'PowBackward0' returned nan values" in told
    assert told.endswith("line 9: return near + (h1 - h1).square().sum(1).sqrt().mean()")


@pytest.mark.parametrize("name", ["of_positive", "of_captions"])
def test_what_is_defined_somewhere_is_not_named(
    study_of: StudyFactory, own: str, name: str
) -> None:
    assert doubts(study_of, f"alignment.loss={own}:{name}") == []


def test_only_the_options_and_widths_at_fault_are_named(study_of: StudyFactory, own: str) -> None:
    [told] = doubts(study_of, f"alignment.loss={own}:power", "search.options.p=[0, 1]")
    assert "of 8 and 8 features, p: 1: the value is NaN" in told
    assert doubts(study_of, "alignment.loss=own_losses:distance") == []
    assert doubts(study_of, "alignment.loss=infonce") == []
