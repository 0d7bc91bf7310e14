"""Advice on somebody's data: force alignment or not, which loss, how hard, within a budget.

What is tried on the way (rates of the baseline, losses, strengths) is chosen on validation rows,
which the answer is never tested on.
"""

import contextlib
import json
import math
import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.advice.answer import Advice, Evidence
from raysweep.advice.budget import Budget
from raysweep.advice.information import Estimated, Part, Planted, decomposition
from raysweep.advice.known_cells import nearest
from raysweep.advice.linear_theory import Regime, regime
from raysweep.advice.study_file import Rates, study_file
from raysweep.advice.subject import DEFAULT_RATES, Looked, study_of
from raysweep.advice.tuning import STRENGTHS, Tried, try_losses, tune_baseline
from raysweep.errors import InputError
from raysweep.folder.conclusion import conclude
from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.forcing.cell_search import phases, proposals_of
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.runners.study_run import Listener, Manner, Stopped, run_study
from raysweep.study.cells import expand
from raysweep.study.spec import TrainingSearch
from raysweep.study.spec.fields import CONFIRM_SEEDS_FROM
from raysweep.text import counted

if TYPE_CHECKING:
    from raysweep.folder.conclusion import Conclusion

STATE_NAME = "advice.json"
LOSSES = ("infonce", "cka")
_SEARCH_DRAWS = 2
_MOST_DRAWS = 15
"""More splits of the same rows add next to nothing: they share their rows."""
_MOST_SEEDS = 64
_MOST_SEEDS_OF_SPLIT = 8
"""Seeds only steady what a split says; splits are what is counted."""
_LEAST_SEEDS = 3
_ARMS = 7  # none; forced and placebo at either end of the search, and best against best
_FASTER = 3.0
"""So many times slower and faster than best for none, rates are tried again with forcing."""
_OWN_TRIALS = 4
_OVERHEAD = 2.5  # measuring, writing and other processes, beside training
_CONCLUDING_S = 8.0
_SHARE_OF_INFORMATION = 0.15
"""Of the budget, for the intervals of the information's parts."""
_SPENT = (
    "the budget is spent before anything could be tested; what was tried is kept: give more, and "
    "the same --out"
)


@dataclass(frozen=True)
class Tuned:
    """What was tried before the study, kept in the folder so that it is not tried again.

    Attributes:
        rates, losses: ways of training that were tried, without forcing and with.
        member_seconds: to train one model.
        information: parts of the label's information; empty where they cannot be estimated.
        draws, seeds: of the confirm stage so far.
        planted: what was found of a planted label, if there was time.
    """

    rates: tuple[Tried, ...]
    losses: tuple[Tried, ...]
    member_seconds: float
    information: dict[str, Part]
    draws: int = 0
    seeds: int = 0
    planted: Planted | None = None


def advise(
    looked: Looked,
    folder: RunFolder,
    seconds: float,
    manner: Manner,
    listener: Listener,
) -> Advice:
    """Advice on one data file.

    Args:
        looked: the file, as it was looked at.
        folder: where the runs go; one that advice was given from before goes on.
        seconds: wall-clock time that it may take, from now on.
        manner: by what the study is run.
        listener: told what happens.

    Raises:
        InputError: the data cannot be advised on, or the folder is another study's.
        KeyboardInterrupt: interrupted; what is finished is kept.
    """
    budget = Budget(seconds)
    say = listener.say
    plain = study_of(_text(looked, DEFAULT_RATES, "the default"), Path.cwd())
    tuned = _kept(folder)
    if tuned is None:
        tuned = _tune(
            looked, plain, _information(looked, _SHARE_OF_INFORMATION * seconds, say), say
        )
    study = _study(looked, plain, tuned)
    study, tuned = _sized(looked, study, tuned, budget.left - _CONCLUDING_S, _workers(manner))
    _keep(folder, tuned)
    if budget.left <= _CONCLUDING_S:
        raise InputError(_SPENT)
    splits = counted(tuned.draws, "split")
    say(f"testing {study.alignment.loss} on {splits} with {counted(tuned.seeds, 'seed')} each")
    conclusion = _run(study, folder, manner, listener, budget.left - _CONCLUDING_S)
    evidence = Evidence(
        looked=looked,
        losses=tuned.losses,
        information=tuned.information,
        planted=tuned.planted,
        regime=_regime(looked),
        known=nearest(tuned.information, looked.seen.splits[0]) if tuned.information else None,
        seconds_per_unit=_seconds_per_draw(tuned) * tuned.seeds / _workers(manner),
    )
    return Advice.of(study, conclusion, evidence)


def _text(looked: Looked, rates: Rates, reason: str) -> str:
    return study_file(looked.subject, looked.seen, looked.chosen, rates, reason)


def _best(tried: tuple[Tried, ...]) -> Tried:
    usable = [one for one in tried if one.performance == one.performance]
    return max(usable or tried, key=lambda one: one.performance)


def _tune(
    looked: Looked, study: ForcingStudy, information: Estimated, say: Callable[[str], None]
) -> Tuned:
    cell = expand(study)[0]
    draws = _search_draws(looked)
    say("trying learning rates, weight decays and fused heads without forcing")
    rates = tune_baseline(study, cell, draws)
    if not any(one.performance == one.performance for one in rates.tried):
        raise InputError("every model without forcing diverged, at all rates that were tried")
    say(f"trying {' and '.join(LOSSES)} at {len(STRENGTHS)} strengths")
    losses = try_losses(_at(study, rates.best), cell, draws, LOSSES)
    return Tuned(
        rates.tried,
        losses.tried,
        rates.member_seconds,
        information.parts,
        planted=information.planted,
    )


def _search_draws(looked: Looked) -> tuple[int, ...]:
    if not looked.seen.resplit:
        return (0,)
    return tuple(range(CONFIRM_SEEDS_FROM, CONFIRM_SEEDS_FROM + _SEARCH_DRAWS))


def _at(study: ForcingStudy, best: Tried) -> ForcingStudy:
    given = {
        "learning_rate": best.learning_rate,
        "weight_decay": best.weight_decay,
        "fusion": (best.fusion,),
    }
    return study.model_copy(update={"training": study.training.model_copy(update=given)})


def _study(looked: Looked, plain: ForcingStudy, tuned: Tuned) -> ForcingStudy:
    study = _at(plain, _best(tuned.rates))
    loss = {"loss": _best(tuned.losses).loss, "options": {}}
    rate = study.training.learning_rate
    own = TrainingSearch(
        learning_rate=tuple(float(f"{r:.6g}") for r in (rate / _FASTER, rate, rate * _FASTER)),
        weight_decay=(study.training.weight_decay,),
        fusion=study.training.fusion,
        trials=_OWN_TRIALS,
    )
    search: dict[str, object] = {"trials": 8, "seeds": (0,), "training": own}
    if looked.seen.resplit:
        search["draws"] = _search_draws(looked)
    return study.model_copy(
        update={
            "alignment": study.alignment.model_copy(update=loss),
            "search": study.search.model_copy(update=search),
        }
    )


def _seconds_per_draw(tuned: Tuned) -> float:
    """Of one seed in one draw: all arms of the confirm stage, on one worker."""
    return _ARMS * _OVERHEAD * tuned.member_seconds


def _sized(
    looked: Looked, study: ForcingStudy, tuned: Tuned, seconds: float, workers: int
) -> tuple[ForcingStudy, Tuned]:
    """The study as large as fits into the time, and never smaller than it was."""
    [cell] = expand(study)
    tried = sum(proposals_of(study, cell, phase) for phase in phases(study))
    spent = len(_search_draws(looked)) * (1 + tried) * tuned.member_seconds
    left = seconds - (0.0 if tuned.draws else spent * _OVERHEAD / workers)
    fits = max(0, int(left * workers / _seconds_per_draw(tuned))) + tuned.draws * tuned.seeds
    if looked.seen.resplit:
        draws = min(_MOST_DRAWS, max(looked.subject.draws, fits // 2))
        seeds = min(fits // draws, _MOST_SEEDS_OF_SPLIT)
    else:
        draws, seeds = 1, max(fits, _LEAST_SEEDS)
    draws = max(draws, tuned.draws)
    seeds = min(_MOST_SEEDS, max(1, seeds, tuned.seeds))
    block = study.data[0].model_copy(update={"draws": tuple(range(draws))})
    confirm = {"seeds": tuple(range(CONFIRM_SEEDS_FROM, CONFIRM_SEEDS_FROM + seeds))}
    sized = study.model_copy(
        update={"data": (block,), "confirm": study.confirm.model_copy(update=confirm)}
    )
    return sized, replace(tuned, draws=draws, seeds=seeds)


def _workers(manner: Manner) -> int:
    return 1 if manner.runner == "local" else manner.workers or os.cpu_count() or 1


def _run(
    study: ForcingStudy, folder: RunFolder, manner: Manner, listener: Listener, seconds: float
) -> "Conclusion":
    """Run the study until its end, or that of the time; what is there is concluded."""
    alarm = _Alarm(seconds)
    try:
        with alarm:
            outcome = run_study(study, folder, manner, listener)
            if outcome.conclusion is not None:
                return outcome.conclusion
    except KeyboardInterrupt as stopped:
        if not alarm.rang:
            raise
        if not isinstance(stopped, Stopped):
            raise InputError(_SPENT) from None
        if not folder.left(study).results:
            raise InputError(_SPENT) from None
        listener.say("the budget is spent; what follows is from what is finished")
    return conclude(folder, study)


class _Alarm:
    """Interrupts its block after so long, as Ctrl-C would; in the main thread only.

    By a timer of its own: of a command in the background of a script the shell has Ctrl-C ignored.

    Attributes:
        rang: whether it did.
    """

    def __init__(self, seconds: float) -> None:
        self.rang = False
        self._seconds = seconds
        self._before: Any = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGALRM, self._ring)
            signal.setitimer(signal.ITIMER_REAL, max(self._seconds, 1e-3))

    def __exit__(self, *raised: object) -> None:
        if self._before is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)

    def _ring(self, number: int, frame: object) -> None:
        self.rang = True
        raise KeyboardInterrupt


def _information(looked: Looked, most_seconds: float, say: Callable[[str], None]) -> Estimated:
    say("estimating what each modality tells of the label")
    with contextlib.suppress(InputError):  # more than two modalities, or too few rows
        return decomposition(looked.views, most_seconds)
    return Estimated({}, None)


def _regime(looked: Looked) -> Regime | None:
    with contextlib.suppress(InputError):  # more than two modalities, or too few rows
        return regime(looked.views)
    return None


def _kept(folder: RunFolder) -> Tuned | None:
    """What was tried by earlier advice from this folder.

    Raises:
        InputError: the file is damaged.
    """
    content = folder.output.read(STATE_NAME)
    if content is None:
        return None
    try:
        stored: Mapping[str, Any] = json.loads(content)
        read: dict[str, Any] = {
            f.name: stored[f.name]
            for f in fields(Tuned)
            if f.name in stored or f.default is MISSING
        }
        for name in ("rates", "losses"):
            read[name] = tuple(Tried(**_numbers(one)) for one in read[name])
        parts = read["information"].items()
        read["information"] = {name: Part(**_numbers(part)) for name, part in parts}
        if read.get("planted") is not None:
            read["planted"] = Planted(**_numbers(read["planted"]))
        return Tuned(**read)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder.output.place(STATE_NAME)}: damaged ({error}); remove it to try anew, or give "
            "another folder"
        ) from error


def _numbers(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {name: float("nan") if value is None else value for name, value in stored.items()}


def _keep(folder: RunFolder, tuned: Tuned) -> None:
    folder.output.write(STATE_NAME, json.dumps(_plain(asdict(tuned)), indent=1).encode())


def _plain(value: Any) -> Any:
    """As JSON has it: what is no number is null."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
