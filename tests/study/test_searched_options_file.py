"""Searched options of the loss in a study file: their types, and the faults they may have."""

from pathlib import Path

import pytest
from tiny_two_cells import StudyFactory

from raysweep.kinds.sweep import science_digest
from raysweep.study.reader import StudyFileError, dump_study, parse_study


def faults(study_of: StudyFactory, *overrides: str) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        study_of(*overrides)
    return [fault.partition(": ")[2] for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ("{temprature: [1, 2]}", "temprature: unknown option of infonce 'temprature' (did you"),
        ("{temperature: 0.1}", "temperature: expected a list of values, or a range with low, high"),
        ("{temperature: []}", "temperature: the list is empty; give at least one value"),
        ("{temperature: [0.1, 0.1]}", "temperature: values used twice: 0.1"),
        ("{temperature: [0.1, x]}", "temperature.1: expected a number in 0.005..100, found 'x'"),
        ("{temperature: {low: 1, high: 0.1}}", "temperature: the range is upside down: low = 1"),
        ("{temperature: {low: 0.1}}", "temperature: a range needs low and high"),
        ("{temperature: {low: 0.1, high: 1, step: 2}}", "temperature.step: unknown key 'step'"),
        (
            "{temperature: {low: 0.001, high: 1}}",
            "temperature.low: expected a number in 0.005",
        ),
        ("{projection_dim: {low: 0, high: 8, scale: log}}", "a log scale starts above 0"),
        ("{projection_dim: {low: 2, high: 8.5}}", "projection_dim.high: expected an integer in 0"),
        ("{learned: {low: 0, high: 1}}", "learned has no range; list the values to try"),
        ("{projection_dim: [4, 8]}", "projection_dim needs projection linear or mlp"),
        ("[temperature]", "search.options: expected a mapping of keys"),
    ],
)
def test_faults_of_searched_options(study_of: StudyFactory, options: str, fault: str) -> None:
    found = faults(study_of, f"search.options={options}")
    assert len(found) == 1, found
    assert fault in found[0]


def test_an_option_is_fixed_or_searched(study_of: StudyFactory) -> None:
    both = ("alignment.options.temperature=0.1", "search.options={temperature: [0.1, 0.2]}")
    [found] = faults(study_of, *both)
    assert "temperature in both alignment.options and search.options" in found
    grid = "search.sampler=grid"
    [found] = faults(study_of, grid, "search.options={temperature: {low: 0.1, high: 0.2}}")
    assert "a grid takes a list of values, temperature has a range" in found
    [found] = faults(study_of, grid, "search.trials=5", "search.options={learned: [true, false]}")
    assert "trials must be a multiple of 2, not 5" in found


def test_a_searched_option_has_the_type_of_the_option_and_no_default(
    study_of: StudyFactory,
) -> None:
    given = (
        "alignment.options.projection=linear",
        "search.options={temperature: [1, 2], projection_dim: {low: 2, high: 8}}",
    )
    resolved = study_of(*given)
    values, range_ = (resolved.search.options[n] for n in ("temperature", "projection_dim"))
    assert [type(v) for v in values] == [float, float]
    assert (range_.low, range_.high, range_.whole) == (2, 8, True)
    assert "temperature" not in resolved.alignment.options
    assert resolved.alignment.options["max_scale"] == 100
    assert parse_study(dump_study(resolved), "again", Path.cwd()) == resolved
    # What is searched is part of the trial; nothing else of the search is part of the science.
    wider = study_of(given[0], given[1].replace("[1, 2]", "[1, 2, 3]"))
    assert science_digest(wider) == science_digest(resolved)
