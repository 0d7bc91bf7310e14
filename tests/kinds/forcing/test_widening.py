"""A search that goes on in a wider range or with more choices, from what it has found."""

import shutil
from pathlib import Path

import pytest
from simulate_packs import essence, measured, run
from tiny_runs import assert_same_table, opened, parts, study, table

from raysweep.errors import InputError
from raysweep.folder.run_folder import RunFolder, extends
from raysweep.kinds.forcing.search import Outcome, propose
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.forcing.widening import (
    PROPOSED_NAME,
    proposals_begun,
    read_earlier,
    write_earlier,
)
from raysweep.kinds.sweep import Sweep
from raysweep.runners import local
from raysweep.seeds import derive_seed
from raysweep.tracking.optuna_export import export_searches
from raysweep.trials.storage import Output
from raysweep.trials.trial import Proposal, Stage, Trial, TrialResult

NARROW = {"strength": {"low": 0.01, "high": 1.0}, "options": {"learned": [True]}}
WIDE = {"strength": {"low": 0.01, "high": 50.0}, "options": {"learned": [True, False]}}


def simulated(**search: object) -> Study:
    return Study.model_validate(
        {
            "name": "simulated",
            "data": {"dataset": "synthetic", "U": [0, 4]},
            "search": {"trials": 5, "generation": 2, "seeds": 2, **search},
            "confirm": {"seeds": 2},
            "resources": {"members_per_pack": 3},
        }
    )


def by_formula(trial: Trial) -> TrialResult:
    return measured(trial)


def searched(sweep: Sweep, cell: str) -> dict[int, Proposal]:
    trials = [t for t in sweep.plans[cell].trials if t.stage is Stage.SEARCH and t.number >= 0]
    return {t.number: Proposal(t.strength, t.options) for t in trials}


@pytest.mark.parametrize("objective", ["alignment", "both"])
@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_wider_search_goes_on_from_what_was_proposed(sampler: str, objective: str) -> None:
    how = {"sampler": sampler, "objective": objective}
    before, after = simulated(**how, **NARROW), simulated(**how, **WIDE, trials=11)
    assert extends(before, after)
    for cut in (1, 3, 6, 9, None):
        part = run(before, stop_after=cut)
        earlier = proposals_begun(part)
        whole = run(after, part.results, earlier=earlier)
        searches = {t.key for t, r in result_trials(part) if t.stage is Stage.SEARCH}
        assert searches <= whole.order().keys()  # nothing that was trained is lost
        for cell, plan in whole.plans.items():
            kept = earlier.get(cell, ())
            proposals = [o.proposal for o in plan.outcomes]
            assert len(proposals) == 11
            assert proposals[: len(kept)] == list(kept)
            assert all(p.strength <= 1 and p.options == (("learned", True),) for p in kept)
            new = proposals[len(kept) :]
            assert any(p.strength > 1 for p in new)
            assert {dict(p.options)["learned"] for p in new} == {True, False}
            # Each further generation is what the wider search makes of all that was found.
            seed = derive_seed(after.seed, "search", cell)
            first = len(kept) + len(kept) % 2
            for done in range(first, 11, 2):
                asked = propose(after.search, seed, plan.outcomes[:done], 2)
                assert proposals[done : done + 2] == asked[: 11 - done]
        # Cut off anywhere and gone on: the same trials.
        for again in (1, 2, 4, 8):
            half = run(after, part.results, earlier=earlier, stop_after=again)
            assert essence(run(after, half.results, earlier=earlier)) == essence(whole)
            # A second widening, to the same: what was kept is kept, and what came since.
            more = proposals_begun(half)
            assert all(more[cell][: len(kept)] == kept for cell, kept in earlier.items())


def result_trials(sweep: Sweep) -> list[tuple[Trial, TrialResult]]:
    return [(t, sweep.results[k]) for k, t in sweep.order().items() if k in sweep.results]


def test_a_study_that_was_not_widened_proposes_as_ever() -> None:
    plain = run(simulated(trials=9))
    part = run(simulated(trials=5))
    earlier = proposals_begun(part)
    assert essence(run(simulated(trials=9), part.results, earlier=earlier)) == essence(plain)


def test_more_choices_of_a_grid_keep_its_points() -> None:
    grid = {"sampler": "grid", "trials": 6}
    before = simulated(**grid, options={"learned": [True], "projection": ["none", "linear"]})
    after = simulated(
        **{**grid, "trials": 12},
        options={"learned": [False, True], "projection": ["none", "linear"]},
    )
    assert extends(before, after)
    done = run(before)
    wider = run(after, done.results)
    searches = {k for k, t in done.order().items() if t.stage is Stage.SEARCH}
    assert searches <= wider.order().keys()
    assert essence(wider) == essence(run(after))
    fewer = simulated(**grid, options={"learned": [True], "projection": ["none", "mlp"]})
    assert not extends(before, fewer)
    linear = {"low": 1.0, "high": 2.0, "scale": "linear"}
    coarse = simulated(sampler="grid", trials=3, strength=linear)
    longer = {"low": 1.0, "high": 3.0, "scale": "linear"}
    assert extends(coarse, simulated(sampler="grid", trials=5, strength=longer))
    assert not extends(coarse, simulated(sampler="grid", trials=6, strength=longer))


RANGE = {"temperature": {"low": 0.1, "high": 1.0}}
CHOICES = {"projection_dim": [1, 4], "learned": [True]}


@pytest.mark.parametrize(
    ("options", "other", "kept"),
    [
        (RANGE, {"temperature": {"low": 0.05, "high": 2.0}}, True),
        (RANGE, {"temperature": {"low": 0.2, "high": 2.0}}, False),
        (RANGE, {"temperature": {"low": 0.05, "high": 2.0, "scale": "log"}}, False),
        (RANGE, {"temperature": [0.1, 1.0]}, False),
        (RANGE, {}, False),
        (RANGE, {**RANGE, "learned": [True]}, False),
        ({"n": {"low": 1, "high": 4}}, {"n": {"low": 1, "high": 9}}, True),
        ({"n": {"low": 1, "high": 4}}, {"n": {"low": 1, "high": 9.5}}, False),
        (CHOICES, {"projection_dim": [4, 8, 1], "learned": [True, False]}, True),
        (CHOICES, {"projection_dim": [1, 8], "learned": [True]}, False),
        (CHOICES, {"projection_dim": [1.0, 4.0], "learned": [True]}, False),
        (CHOICES, {"projection_dim": [1, 4], "learned": [1, 2]}, False),
    ],
)
def test_what_is_wider(options: dict[str, object], other: dict[str, object], kept: bool) -> None:
    assert extends(simulated(options=options), simulated(options=other)) is kept


@pytest.mark.parametrize(
    ("strength", "kept"),
    [
        ({"low": 0.001, "high": 10}, True),
        ({"low": 0.01, "high": 100}, True),
        ({"low": 0.02, "high": 100}, False),
        ({"low": 0.01, "high": 9}, False),
        ({"low": 0.01, "high": 100, "scale": "linear"}, False),
    ],
)
def test_a_range_of_strengths_may_only_grow(strength: dict[str, object], kept: bool) -> None:
    assert extends(simulated(), simulated(strength=strength)) is kept
    fewer = simulated(strength=strength, trials=4)
    assert not extends(simulated(), fewer)


# In a folder


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a finished narrow search."""
    folder = tmp_path_factory.mktemp("narrow")
    wanted = tiny(NARROW)
    local.run(wanted, opened(folder, wanted))
    return folder


def tiny(searched: dict[str, object], trials: int = 4) -> Study:
    changes = {f"search__{name}": value for name, value in searched.items()}
    return study(**changes, search__trials=trials, confirm__seeds=2)


@pytest.fixture
def out(narrow: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(narrow, tmp_path / "out"))


def test_a_folder_keeps_its_results_and_goes_on_after_any_cut(out: Path, tmp_path: Path) -> None:
    before = {name: (out / "parts" / name).read_bytes() for name in parts(out)}
    wanted = tiny(WIDE, trials=8)
    folder = opened(out, wanted)
    copy = Path(shutil.copytree(out, tmp_path / "cut"))
    local.run(wanted, folder)
    after = {name: (out / "parts" / name).read_bytes() for name in parts(out)}
    assert before.items() < after.items()
    rows = table(out)
    of_search = rows[(rows["stage"] == "search") & (rows["strength"] > 0)]
    assert (of_search.loc[of_search["number"] < 4, "strength"] <= 1).all()
    assert sorted(of_search["number"].unique()) == list(range(8))
    # Killed after some packs, opened anew, and widened once more to the same.
    new = sorted(set(after) - set(before))
    for name in new[::2]:
        (copy / "parts" / name).write_bytes(after[name])
    again = RunFolder(Output(copy))
    again.adopt(again.existing_study())
    local.run(wanted, again)
    assert_same_table(table(copy), rows)


def test_an_edit_of_the_folders_own_file_shows_and_goes_on_alike(out: Path) -> None:
    text = (out / "study.yaml").read_text()
    for old, new in (("high: 1.0", "high: 50.0"), ("trials: 4", "trials: 8")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (out / "study.yaml").write_text(text)
    folder = RunFolder(Output(out))
    found = folder.existing_study()
    assert isinstance(found, Study)
    assert found.search.strength.high == 50
    shown = essence(folder.look(found))
    folder.adopt(found)
    assert essence(folder.open_sweep(found)) == shown
    asked = [row for row in shown if row[4] == "search"]
    assert [row[-2] for row in asked[-4:]] == [4, 4, 5, 5]


def test_what_leads_nowhere_is_told(out: Path) -> None:
    said = RunFolder(Output(out)).adopt(tiny(WIDE))
    assert "all of search.trials = 4 were proposed before it was widened; more of them" in said
    assert RunFolder(Output(out)).adopt(tiny(WIDE)) == ""
    with pytest.raises(InputError, match=r"(?s)-    high: 50\.0.*or a wider range or more choic"):
        RunFolder(Output(out)).adopt(tiny(NARROW))


def test_what_is_written_down_is_read_again_or_told_to_be_damaged(tmp_path: Path) -> None:
    output = Output(tmp_path)
    options = (("a", True), ("b", 1), ("c", 1.0), ("d", "x"))
    earlier = {"cell": (Proposal(0.1 + 0.2, options), Proposal(1e-300))}
    write_earlier(output, earlier)
    found = read_earlier(output)
    assert found == earlier
    kinds = [type(value) for _, value in found["cell"][0].options]
    assert kinds == [bool, int, float, str]
    content = (tmp_path / PROPOSED_NAME).read_bytes()
    for harmed in (content[:50], content.replace(b"0.3", b"0.4"), b"[]", b""):
        (tmp_path / PROPOSED_NAME).write_bytes(harmed)
        with pytest.raises(InputError, match=r"\.proposed\.json: is damaged .*Restore it"):
            read_earlier(output)


def test_an_export_with_more_choices_asks_for_another_database(out: Path, tmp_path: Path) -> None:
    folder = RunFolder(Output(out))
    export_searches(folder, f"sqlite:///{tmp_path}/one.db")
    wanted = tiny(WIDE, trials=6)
    folder.adopt(wanted)
    local.run(wanted, folder)
    with pytest.raises(InputError, match="with fewer choices than it has now"):
        export_searches(folder, f"sqlite:///{tmp_path}/one.db")
    report = export_searches(folder, f"sqlite:///{tmp_path}/other.db")
    assert report.written == 6 * report.studies


def test_what_failed_before_is_told_to_the_wider_search() -> None:
    search = simulated(**WIDE).search
    nothing = [Outcome(Proposal(0.5, (("learned", True),)), float("nan"), float("nan"))] * 2
    assert len(propose(search, 1, nothing, 2)) == 2
