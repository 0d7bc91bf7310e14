"""Short trials of each arm before a study is run: is the pairing sound, are the arms apart."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace

from raysweep.errors import InputError
from raysweep.kinds.forcing.cell_search import search_draws
from raysweep.kinds.trial.run import run_trial
from raysweep.kinds.trial.study import TrialStudy
from raysweep.runners.attempt import device_for
from raysweep.study.cells import expand, varying
from raysweep.study.fingerprint import science_digest
from raysweep.study.spec import StrengthRange
from raysweep.text import raised
from raysweep.trials.storage import Output
from raysweep.trials.trial import Arm, Options, Stage, Trained, Trial

_EPOCHS = 1
Numbers = Mapping[str, float]


def try_out(study: TrialStudy) -> list[str]:
    """Run ``none`` twice, ``forced`` and ``placebo`` for an epoch, and compare what they give.

    A function that logs no epochs runs whole.

    Returns:
        What was found, a line each.

    Raises:
        InputError: a trial raised, gave no numbers, or does not stop where the search looks.
    """
    cell = expand(study)[0]
    strength, options = _middle(study.search.strength), _first_options(study)
    none = Trial(
        cell,
        search_draws(study, cell)[0],
        study.search.seeds[0],
        0.0,
        Arm.NONE,
        Stage.SEARCH,
        science_digest(study),
        epochs=_EPOCHS,
        training=_first_training(study),
    )
    forced = replace(none, strength=strength, arm=Arm.FORCED, options=options)
    first = _numbers(study, none)
    again = _numbers(study, none)
    by_force = _numbers(study, forced)
    shuffled = _numbers(study, replace(forced, arm=Arm.PLACEBO))
    label = varying(expand(study))[cell.id]
    where = f"{label}, draw {none.draw}, seed {none.seed}, {_EPOCHS} epoch"
    difference = f"forced (strength {strength:.3g})"
    return [
        f"tried {where}: " + ", ".join(f"{name} {value:.6g}" for name, value in first.items()),
        _same(first, again),
        _apart(first, by_force, difference, "does strength reach what is trained?"),
        _apart(first, shuffled, "placebo", "is the placebo forced, too, on shuffled pairs?"),
    ]


def _numbers(study: TrialStudy, trial: Trial) -> Numbers:
    with tempfile.TemporaryDirectory(prefix="raysweep-try-") as folder:
        try:
            _, told = run_trial(study, trial, device_for(study), Output(folder), whole=False)
        except Exception as error:
            import traceback

            raise InputError(
                f"--try: arm {trial.arm}: {raised(traceback.format_exc())}\n"
                f"{traceback.format_exc()}"
            ) from error
    odd = "" if study.search.halving is None else told.out_of_step(trial)
    if odd:
        raise InputError(f"--try: arm {trial.arm}: {odd}")
    measured = {n: v for n, v in told.measured.items() if isinstance(v, float)}
    last = told.logged[max(told.logged)] if told.logged else {}
    found = {**last, **measured, **told.metrics}
    if not found:
        raise InputError(
            f"--try: arm {trial.arm} gave no numbers; return metrics, or log them with trial.log"
        )
    return found


def _same(first: Numbers, again: Numbers) -> str:
    apart = _differences(first, again)
    if not apart:
        return "none twice: equal in every number, so that arms of a seed are paired exactly"
    name, size = max(apart.items(), key=lambda item: item[1])
    return (
        f"none twice: not equal, {name} by {size:.3g} (of {len(first)} numbers {len(apart)} "
        "differ); pairs are looser by that: seed what draws at random from trial.seed, and see "
        "torch.use_deterministic_algorithms"
    )


def _apart(first: Numbers, other: Numbers, arm: str, question: str) -> str:
    apart = _differences(first, other)
    if not apart:
        return f"{arm} and none: equal in every number; {question}"
    name, size = max(apart.items(), key=lambda item: item[1])
    return f"{arm} and none: different, {name} by {size:.3g}"


def _differences(first: Numbers, other: Numbers) -> dict[str, float]:
    """What is not the same; a number that only one of them has is infinitely far."""
    found = {}
    for name in dict.fromkeys([*first, *other]):
        one, two = first.get(name, math.inf), other.get(name, math.inf)
        if one != two and not (math.isnan(one) and math.isnan(two)):
            size = abs(one - two)
            found[name] = math.inf if math.isnan(size) else size
    return found


def _middle(strengths: StrengthRange) -> float:
    if strengths.scale == "log":
        return math.sqrt(strengths.low * strengths.high)
    return (strengths.low + strengths.high) / 2


def _first_options(study: TrialStudy) -> Options:
    from raysweep.kinds.forcing.search import propose

    return propose(study.search, 0, (), 1)[0].options


def _first_training(study: TrialStudy) -> Trained:
    from raysweep.kinds.forcing.tuning import propose_for_none

    if study.search.training is None:
        return ()
    return propose_for_none(study.search, 0, (), 1)[0].training
