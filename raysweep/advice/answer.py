"""Advice in words: what was measured, and what else speaks for it or against it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysweep.advice.information import PARTS, Part, Planted, in_nats, label_words
from raysweep.advice.known_cells import Neighbourhood
from raysweep.advice.linear_theory import Regime
from raysweep.advice.subject import Looked
from raysweep.advice.tuning import Tried
from raysweep.data.estimable import MOST_ROWS
from raysweep.data.missed import missed_at
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.text import counted
from raysweep.trials.columns import named
from raysweep.trials.criteria import BEST
from raysweep.trials.outcomes import amount, digits_of, kind_of, outcome_words, scale_of
from raysweep.trials.tasks import Task
from raysweep.trials.verdict_words import VERDICT_WORDS

if TYPE_CHECKING:
    import pandas as pd

    from raysweep.folder.conclusion import Conclusion

DECISIONS = ("force", "do not force", "no difference", "not known")
_OF_VERDICT = {"helps": "force", "hurts": "do not force", "equivalent": "no difference"}
_PERFORMANCE, _ALIGNMENT = "performance", "alignment"


@dataclass(frozen=True)
class Evidence:
    """What speaks beside the test.

    Attributes:
        looked: the data.
        losses: what was tried with forcing.
        information: parts of the label's information by name; empty where not estimated.
        planted: what the estimate finds of a planted label; None where that was not tried.
        regime: where a linear theory places the data, if it can.
        known: how known cells came out that are most alike, if there is information to go by.
        seconds_per_unit: wall-clock time of one more unit of the test.
    """

    looked: Looked
    losses: tuple[Tried, ...]
    information: dict[str, Part]
    planted: Planted | None
    regime: Regime | None
    known: Neighbourhood | None
    seconds_per_unit: float


@dataclass(frozen=True)
class Advice:
    """What to do, and why.

    Attributes:
        decision: `force`, `do not force`, `no difference` or `not known`.
        sentences: in plain words, the answer first.
        effects: the tests, as from `raysweep.analysis.forcing_effects`.
        report: where the report is.
    """

    decision: str
    sentences: tuple[str, ...]
    effects: "pd.DataFrame"
    report: str

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    @classmethod
    def of(cls, study: ForcingStudy, conclusion: "Conclusion", evidence: Evidence) -> "Advice":
        """Advice from a study's conclusion and what speaks beside it."""
        effects = conclusion.effects
        rows: dict[str, dict[str, Any]] = {
            str(row["chosen_by"]): {str(k): v for k, v in row.items()}
            for row in effects.to_dict("records")
        }
        row = rows.get(BEST)
        verdict = "untested" if row is None else str(row["verdict"])
        decision = _OF_VERDICT.get(verdict, "not known")
        said = [_first(row, decision, study)]
        if row is not None and verdict != "untested":
            said += _tested(row, evidence)
            said += _same_rates(row, rows.get(_PERFORMANCE))
            said += _beside(row, rows.get(_ALIGNMENT))
        said += _baseline(conclusion.findings.trials, evidence)
        if decision == "not known" and row is not None:
            said += _surer(row, conclusion, evidence)
        said += _data(evidence, decision)
        return cls(decision, tuple(said), effects, conclusion.report)


def _first(row: dict[str, Any] | None, decision: str, study: ForcingStudy) -> str:
    loss = study.alignment.loss
    if row is None or row["verdict"] == "untested":
        why = row["reason"] if row is not None else "the budget ended before the test"
        more = "a larger --budget and the same --out go on from here"
        return f"Not known whether to force alignment: {why}; {more}."
    effect, strength = _effect(row), f"{row['strength']:.3g}"
    if decision == "force":
        if row["verdict_vs_placebo"] == "helps":
            return f"Force alignment: {loss} at strength {strength} gains {effect}."
        return (
            f"{loss} at strength {strength} gains {effect}, but no more than the same loss on "
            "shuffled pairs is shown: it may be regularisation, not alignment."
        )
    if decision == "do not force":
        return f"Do not force alignment: {loss} at its best strength, {strength}, changes {effect}."
    if decision == "no difference":
        margin = amount(study.verdict.margin, row["performance"])
        return (
            f"Forcing alignment makes no difference of {margin} or more: {loss} at its best "
            f"strength, {strength}, changes {effect}."
        )
    return (
        f"Not known whether to force alignment: {loss} at its best strength, {strength}, changes "
        f"{effect}."
    )


def _effect(
    row: dict[str, Any], names: tuple[str, str, str] = ("effect", "ci_low", "ci_high")
) -> str:
    factor, unit = scale_of(row["performance"])
    digits = digits_of(row["performance"], *(float(row[name]) for name in names))
    effect, low, high = (f"{row[name] * factor:+z.{digits}f}" for name in names)
    return f"{effect} {unit} ({low} to {high}) of {outcome_words(row['performance'])}"


def _tested(row: dict[str, Any], evidence: Evidence) -> Iterator[str]:
    train, _, test = evidence.looked.seen.splits
    rows = evidence.looked.seen.rows
    if evidence.looked.seen.resplit:
        what = f"{counted(int(row['n']), 'split')} of the same {rows} rows"
    else:
        what = f"{counted(int(row['n']), 'seed')} on the one split of the file"
    yield f"Tested on {what}, {train} rows to train and {test} to test; the interval is of 95 %."
    if row["doubt"]:
        yield f"{row['doubt'][0].upper()}{row['doubt'][1:]}."


def _same_rates(row: dict[str, Any], same: dict[str, Any] | None) -> Iterator[str]:
    """What the loss does where both arms are trained alike."""
    if same is None or same["verdict"] == "untested" or same["strength"] == row["strength"]:
        return
    yield (
        f"Each arm trains as suits it. At the rates that are best without forcing, strength "
        f"{same['strength']:.3g} changes {_effect(same)}; {VERDICT_WORDS[same['verdict']]}."
    )


def _beside(row: dict[str, Any], aligned: dict[str, Any] | None) -> Iterator[str]:
    if row["verdict_vs_placebo"]:
        names = ("effect_vs_placebo", "placebo_ci_low", "placebo_ci_high")
        yield f"Against the placebo (shuffled pairs): {_effect(row, names)}."
    if aligned is None or aligned["verdict"] == "untested":
        return
    if aligned["strength"] == row["strength"]:
        yield "The strength that performs best is also the one that aligns most."
    else:
        yield (
            f"At the strength that aligns most, {aligned['strength']:.3g}: {_effect(aligned)}; "
            f"{VERDICT_WORDS[aligned['verdict']]}."
        )


def _baseline(trials: "pd.DataFrame", evidence: Evidence) -> Iterator[str]:
    none = trials[
        (trials["stage"].astype(str) == "confirm") & (trials["arm"].astype(str) == "none")
    ]
    if none.empty:
        return
    rates = none.iloc[0]
    yield (
        f"The model without forcing trains at learning rate {rates['learning_rate']:g}, weight "
        f"decay {rates['weight_decay']:g} with the {rates['fusion']} head: best without forcing of "
        "all that were tried, on the validation rows."
    )
    modalities = len(evidence.looked.seen.modalities)
    seen = evidence.looked.seen
    main = seen.task.main
    alone = [
        f"modality {k} alone {100 * none[named(main, k, 'test')].mean():.1f} %"
        for k in range(1, modalities + 1)
    ]
    fused = 100 * none[named(main, "fused", "test")].mean()
    told = f"{', '.join(alone)}, all fused {fused:.1f} %"
    if seen.task in (Task.MULTILABEL, Task.ORDINAL):
        yield f"Without forcing, in {kind_of(named(main, 'fused', 'test'))}: {told}."
    elif seen.values is None:
        yield f"Without forcing: {told}; the commonest class is {100 * seen.majority:.1f} %."
    else:
        yield f"Of the label's variance are explained (R2) without forcing: {told}."
    best: dict[str, Tried] = {}
    for tried in evidence.losses:
        if math.isfinite(tried.performance):
            before = best.get(tried.loss)
            if before is None or tried.performance > before.performance:
                best[tried.loss] = tried
    if len(best) > 1:
        shown = ", ".join(f"{t.loss} {100 * t.performance:.1f} %" for t in best.values())
        yield f"The loss was chosen on validation, at its best of 5 strengths: {shown}."


def _surer(row: dict[str, Any], conclusion: "Conclusion", evidence: Evidence) -> Iterator[str]:
    needs = conclusion.findings.needs
    if not len(needs):
        return
    here = needs[(needs["cell"] == row["cell"]) & (needs["chosen_by"] == BEST)]
    if here.empty or not math.isfinite(float(here["n_more"].iloc[0])):
        return
    more = int(here["n_more"].iloc[0])
    size = amount(float(here["effect"].iloc[0]), row["performance"])
    minutes = max(1, round(more * evidence.seconds_per_unit / 60))
    yield (
        f"About {counted(more, str(row['unit']))} more, {counted(minutes, 'minute')}, would find a "
        f"true effect of {size}: give a larger --budget and the same --out."
    )


def _data(evidence: Evidence, decision: str) -> Iterator[str]:
    parts = evidence.information
    if parts:
        told = in_nats(parts, PARTS)
        seen = evidence.looked.seen
        of_what = label_words(seen.task, len(seen.counts))
        yield f"What the data tell of {of_what}, estimated in nats: {told}."
        most = max(modality.features for modality in seen.modalities)
        yield missed_at(min(seen.rows, MOST_ROWS), most).words
        if evidence.planted is not None:
            yield evidence.planted.words
        yield _by_information(parts, decision)
    if evidence.known is not None:
        came = ", ".join(
            f"{many} {VERDICT_WORDS[verdict]}" for verdict, many in evidence.known.verdicts.items()
        )
        count = sum(evidence.known.verdicts.values())
        yield (
            f"Of the {count} known cells whose information splits most alike (study forcing, best "
            f"against best): {came}; up to {100 * evidence.known.distance:.0f} % of it splits "
            "otherwise there."
        )
    place = evidence.regime
    if place is not None and place.name:
        aligns = place.name in ("both", "align only")
        says = "finds" if aligns else "does not find"
        yield (
            f"A linear theory (arXiv 2606.11190) places the data in its regime '{place.name}': "
            f"alignment {says} what tells of the label (correlation {place.aligned_signal:.2f} "
            f"across the modalities, nuisance {place.aligned_nuisance:.2f})"
            f"{_agrees(aligns, decision)}."
        )


def _by_information(parts: dict[str, Part], decision: str) -> str:
    shared = parts["pid_R"].estimate
    unique = parts["pid_U1"].estimate + parts["pid_U2"].estimate
    aligns = shared > unique
    leans = "more is shared than unique, where alignment costs least"
    if not aligns:
        leans = "more is unique than shared, which alignment would push out of the representations"
    return f"By that, {leans}{_agrees(aligns, decision)}."


def _agrees(aligns: bool, decision: str) -> str:
    """Whether an expectation and the measured answer are at odds."""
    if decision == "force" and not aligns:
        return "; the measurement says otherwise, and is what counts here"
    if decision == "do not force" and aligns:
        return "; the measurement says otherwise, and is what counts here"
    return ""
