"""Whether a forcing study goes on where another one left off, and what it then remembers of it."""

from collections.abc import Callable
from typing import Any

from raysweep.kinds.forcing.plan import ForcingSweep
from raysweep.kinds.forcing.widening import (
    proposals_begun,
    read_earlier,
    same_or_wider,
    widened,
    write_earlier,
)
from raysweep.kinds.sweep import Earlier
from raysweep.study.cells import expand
from raysweep.study.spec import Search, SearchedStudy
from raysweep.study.spec.fields import listed
from raysweep.trials.storage import Output
from raysweep.trials.table import read_parts
from raysweep.trials.trial import TrialResult


def earlier(
    output: Output,
    before: Callable[[], SearchedStudy | None],
    study: SearchedStudy,
    results: dict[str, TrialResult],
) -> Earlier:
    """See `raysweep.kinds.kind.Kind.earlier`."""
    stored = read_earlier(output)
    adopted = before()
    if adopted is None or not _goes_on_wider(adopted, study):
        return stored
    return proposals_begun(ForcingSweep(adopted, results, stored))


def widen(output: Output, before: SearchedStudy, after: SearchedStudy) -> str:
    """Write down what was proposed so far, where the search goes on in a wider range.

    Returns:
        That it does not go on, where it has nothing left to propose; else nothing.
    """
    if not _goes_on_wider(before, after):
        return ""
    results = read_parts(output).results(before.confirmed_columns)
    begun = proposals_begun(ForcingSweep(before, results, read_earlier(output)))
    # Before the study: of the narrower one these are the proposals in any case.
    write_earlier(output, begun)
    left = [cell.id for cell in expand(after) if len(begun.get(cell.id, ())) < after.search.trials]
    if left:
        return ""
    return (
        f"search: all of search.trials = {after.search.trials} were proposed before it was "
        "widened; more of them look in the wider range"
    )


def extends(before: SearchedStudy, after: SearchedStudy) -> bool:
    """See `raysweep.kinds.kind.Kind.extends`."""
    fixed = {"trials", "seeds", "draws", "strength", "options"}
    if _without(before.search, fixed) != _without(after.search, fixed):
        return False
    if not same_or_wider(before.search, after.search):
        return False
    if not _trials_extended(before.search, after.search):
        return False
    if not set(before.search.seeds) <= set(after.search.seeds):
        return False
    if before.confirm.sequential or after.confirm.sequential:
        # What is spent at a look hangs on all looks; a budget may grow.
        return _without(before.confirm, {"budget"}) == _without(after.confirm, {"budget"})
    return set(before.confirm.seeds) <= set(after.confirm.seeds)


def search_moved(before: SearchedStudy, after: SearchedStudy) -> str:
    """Why strengths that were found would be searched on other draws; empty where they are not."""
    draws = {cell.id: after.search.draws_for(cell.draws) for cell in expand(after)}
    for cell in expand(before):
        searched, now = before.search.draws_for(cell.draws), draws.get(cell.id, ())
        if not set(searched) <= set(now):
            return (
                f"Strengths were searched on the draws {listed(searched)}, and would be on "
                f"{listed(now)}; search.draws: confirmed keeps the draws of the data for the "
                "search, too. For anything else give another --out"
            )
    return ""


def _goes_on_wider(before: SearchedStudy, after: SearchedStudy) -> bool:
    """Whether what is still to be proposed is another thing than it was; a grid is known whole."""
    return after.search.sampler != "grid" and widened(before.search, after.search)


def _trials_extended(before: Search, after: Search) -> bool:
    if before.sampler == "grid" and widened(before, after):
        return True  # which has all points of before
    if before.sampler == "grid" and before.trials != after.trials:
        # Only a finer grid with all of the old points keeps their results.
        old, new = (search.trials // search.combinations for search in (before, after))
        return 1 < old < new and not (new - 1) % (old - 1)
    return before.trials <= after.trials


def _without(part: Any, names: set[str]) -> dict[str, Any]:
    return {k: v for k, v in part.model_dump(mode="json").items() if k not in names}
