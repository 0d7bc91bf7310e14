"""Extending an emergence study with tuned rates: what was measured stays, or it is refused."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_emergence import document, study
from tiny_runs import SUPPORT, begun, opened

from raysweep.errors import InputError
from raysweep.folder.run_folder import extends
from raysweep.kinds.emergence.plan import EmergenceSweep
from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.study import checks
from raysweep.study.reader import StudyFileError, dump_study, parse_study
from raysweep.trials.packing import Pack
from raysweep.trials.trial import Stage, Status, TrialResult

TUNING: dict[str, Any] = {"trials": 6, "generation": 3, "depths": [1, 2, 3], "offsets": [0, -1]}


def small(tuning: dict[str, Any], **changes: Any) -> EmergenceStudy:
    return study(**{"tuning": {**TUNING, **tuning}, "data__D_phi": [1, 3], "data__U": 0} | changes)


def invented(pack: Pack) -> list[TrialResult]:
    """Results in which every heterogeneity and every depth wants rates of its own."""
    found = []
    for trial in pack.trials:
        values = {}
        if trial.modality:
            cell = trial.cell
            odd = dict(cell.parameters)["D_phi"] == 2 or (cell.depth_1, cell.depth_2)[1] == 2
            gap = abs(math.log(trial.rates[0].learning_rate / (0.001 if odd else 0.05)))
            values = {
                f"performance_{trial.modality}_validation": 0.9 - (0.2 if odd else 0.02) * gap
            }
        found.append(TrialResult(trial.key, Status.OK, values))
    return found


def finished(sweep: EmergenceSweep) -> EmergenceSweep:
    while (pack := sweep.next_pack()) is not None:
        sweep.complete(pack, invented(pack))
    return sweep


def measured(sweep: EmergenceSweep) -> set[str]:
    return {key for key, trial in sweep.order().items() if trial.stage is Stage.MEASURE}


# What is added, and what keeps the rates where it does.
GROWTH: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "a heterogeneity": ({"data__D_phi": [1, 2, 3]}, {"D_phi": [1, 3]}),
    "a depth": ({"model__depth_2": [1, 2, 3]}, {"depths": [1, 3]}),
    "both": (
        {"data__D_phi": [2, 1, 3], "model__depth_2": [1, 3, 2]},
        {"D_phi": [1, 3], "depths": [1, 3]},
    ),
    "a network": ({"data__activation": ["sigmoid", "tanh"]}, None),
    "a width before": ({"model__width_1": 6, "model__width_2": [4, 6], "model__width": None}, None),
}


@pytest.mark.parametrize("added", GROWTH)
def test_what_changes_the_rates_is_refused_and_the_remedy_works(added: str, tmp_path: Path) -> None:
    growth, remedy = GROWTH[added]
    before, after = small({}), small({}, **growth)
    old = finished(EmergenceSweep(before))
    place = opened(tmp_path, before)
    begun(place.output)
    assert not extends(before, after)
    with pytest.raises(InputError) as caught:
        place.adopt(after)
    assert place.existing_study() == before
    message = str(caught.value)
    assert "would be searched on other encoders" in message
    assert "\n+ " in message
    if remedy is None:
        assert "behind those of before" in message
        return
    given = " and ".join(f"tuning.{name}: {values}" for name, values in remedy.items())
    assert f"Give {given}, as before, or give another --out" in message
    fixed = small(remedy, **growth)
    place.adopt(fixed)
    assert parse_study(dump_study(fixed), "", SUPPORT) == fixed
    new = finished(EmergenceSweep(fixed, dict(old.results)))
    assert measured(old) < measured(new)
    assert old.order().keys() < new.order().keys()


def test_it_is_refused_because_the_rates_do_change() -> None:
    before, after = (small({}, data__D_phi=D_phi) for D_phi in ([1, 3], [1, 2, 3]))
    old = finished(EmergenceSweep(before))
    new = finished(EmergenceSweep(after, dict(old.results)))
    assert not measured(old) & measured(new)


def test_another_first_draw_is_refused(tmp_path: Path) -> None:
    place = opened(tmp_path, small({}))
    begun(place.output)
    place.adopt(small({}, data__draws=[0, 4]))
    with pytest.raises(InputError, match="first draw, which was 0 and would be 4"):
        place.adopt(small({}, data__draws=[4, 0]))


def test_what_no_rate_depends_on_may_still_grow() -> None:
    before = small({})
    for after in (
        small({}, data__U=[0, 8]),
        small({}, data__D_phi=[1, 3, 9]),
        small({}, model__depth_2=[1, 3, 7]),
        small({"D_phi": [1, 3]}, data__D_phi=[1, 3, 4], model__depth_2=[1, 3, 7]),
        small({"depths": [1, 3, 9]}),
        small({}, model__depth_1=[1, 9]),
    ):
        assert extends(before, after)
    for other in (small({"trials": 7}), small({"weight_decay": [0]}), small({"depths": [1]})):
        assert not extends(before, other)


def test_heterogeneities_to_tune_on_must_be_there() -> None:
    for tuned, expected in (
        ([1, 7], "tuning.D_phi: no data have D_phi 7; the data grid has 1, 2"),
        ([], "tuning.D_phi: the list is empty"),
        ([1, 1], "tuning.D_phi: values used twice: 1"),
    ):
        text = yaml.safe_dump(document(tuning={"D_phi": tuned}))
        with pytest.raises(StudyFileError) as caught:
            parse_study(text, "tiny", SUPPORT, (), checks.check, checks.resolve_files)
        assert expected in str(caught.value)
