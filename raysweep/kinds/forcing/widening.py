"""A search that goes on in a wider range, or with more choices, than it began in.

What was proposed before stays what it was: how a wider search would have begun is of no use to the
results that are there. So the proposals of the generations that were begun are written down when a
study is widened, and a search is from then on a pure function of these and of what was found.
"""

import hashlib
import json
from collections.abc import Mapping
from itertools import groupby

from raysweep.errors import InputError
from raysweep.kinds.forcing.plan import ForcingSweep
from raysweep.kinds.forcing.search import propose
from raysweep.kinds.sweep import Earlier
from raysweep.study.spec import OptionRange, Search, StrengthRange
from raysweep.trials.storage import Output
from raysweep.trials.trial import Proposal, Stage

PROPOSED_NAME = ".proposed.json"


def same_or_wider(before: Search, after: Search) -> bool:
    """Whether all that ``before`` may have proposed could come from ``after``, too."""
    if before.options.keys() != after.options.keys():
        return False
    if not widened(before, after):
        return True
    if before.sampler == "grid":
        # Its points are those of the study now: none may be missing.
        old, new = (set(propose(s, 0, (), s.trials)) for s in (before, after))
        return old <= new
    pairs = ((before.options[name], after.options[name]) for name in before.options)
    return _contains(after.strength, before.strength) and all(_contains(b, a) for a, b in pairs)


def widened(before: Search, after: Search) -> bool:
    """Whether the ranges or choices differ, in the type of a number, too."""
    searched = {"strength", "options"}
    one, other = (search.model_dump_json(include=searched) for search in (before, after))
    return one != other


def proposals_begun(sweep: ForcingSweep) -> Earlier:
    """What the searches of a sweep have proposed, up to the last generation with a result.

    What was written down before stays, also where its results were lost.
    """
    found = dict(sweep.earlier)
    for cell, plan in sweep.plans.items():
        searched = [t for t in plan.trials if t.number >= 0 and t.stage is Stage.SEARCH]
        begun: list[Proposal] = []
        for _, of_generation in groupby(searched, key=lambda trial: trial.generation):
            trials = list(of_generation)
            if not any(trial.key in sweep.results for trial in trials):
                break
            proposals = {t.number: Proposal(t.strength, t.options) for t in trials}
            begun += [proposals[number] for number in sorted(proposals)]
        if len(begun) > len(found.get(cell, ())):
            found[cell] = tuple(begun)
    return found


def write_earlier(output: Output, earlier: Earlier) -> None:
    """Write proposals down in a run's folder."""
    proposed = {
        cell: [[p.strength, [list(option) for option in p.options]] for p in proposals]
        for cell, proposals in earlier.items()
    }
    content = {"sha256": _digest(proposed), "proposed": proposed}
    output.write(PROPOSED_NAME, (json.dumps(content, indent=1) + "\n").encode())


def read_earlier(output: Output) -> Earlier:
    """The proposals that are written down in a run's folder; mostly none.

    Raises:
        InputError: the file is damaged.
    """
    content = output.read(PROPOSED_NAME)
    if content is None:
        return {}
    try:
        kept = json.loads(content)
        proposed = kept["proposed"]
        if kept["sha256"] != _digest(proposed):
            raise ValueError("its digest is another")
        return {
            cell: tuple(
                Proposal(strength, tuple((name, value) for name, value in options))
                for strength, options in proposals
            )
            for cell, proposals in proposed.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{output.place(PROPOSED_NAME)}: is damaged ({error}); it says what was proposed "
            "before the search was widened. Restore it, or remove it: the search then begins "
            "anew in the wider range"
        ) from error


def _contains(
    wide: StrengthRange | OptionRange | tuple[object, ...],
    narrow: StrengthRange | OptionRange | tuple[object, ...],
) -> bool:
    if isinstance(wide, tuple) or isinstance(narrow, tuple):
        if not (isinstance(wide, tuple) and isinstance(narrow, tuple)):
            return False
        # 1, 1.0 and true are equal in Python, and other values of an option.
        return {(type(v), v) for v in narrow} <= {(type(v), v) for v in wide}
    whole = [isinstance(r, OptionRange) and r.whole for r in (wide, narrow)]
    return (
        wide.scale == narrow.scale
        and whole[0] == whole[1]
        and wide.low <= narrow.low
        and narrow.high <= wide.high
    )


def _digest(proposed: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(proposed, sort_keys=True).encode()).hexdigest()
