"""The study file that `raysweep init` writes: commented, and valid as it is."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from raysweep.advice.look import Seen
from raysweep.advice.proposal import Proposal
from raysweep.study.spec.fields import Scalar
from raysweep.text import counted, in_a_line
from raysweep.trials.tasks import Task

_MOST_NAMED = 8


@dataclass(frozen=True)
class Rates:
    """How fast both encoders learn, and how strongly their weights decay; as `Training` says."""

    learning_rate: float
    weight_decay: float


@dataclass(frozen=True)
class Subject:
    """What a study is about.

    Attributes:
        name: of the study.
        source: the data file, as people know it.
        data: the keys of the data block but for ``dataset`` and ``draws``.
        draws: how many.
    """

    name: str
    source: str
    data: Mapping[str, Scalar]
    draws: int


def study_file(
    subject: Subject, seen: Seen, chosen: Proposal, rates: Rates, rates_reason: str
) -> str:
    """The text of a study file.

    Args:
        subject: what it is about.
        seen: what was seen of its data, for the comment at its top.
        chosen: the values that fit the data.
        rates: learning rate and weight decay.
        rates_reason: how they were chosen.
    """
    environment = Environment(
        loader=PackageLoader("raysweep.advice"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # YAML: every text of a user's goes through one of these
    )
    environment.filters["yaml"] = _yaml
    environment.filters["words"] = in_a_line
    return environment.get_template("study.yaml.j2").render(
        name=subject.name,
        source=subject.source,
        data=subject.data,
        draws=subject.draws,
        seen=seen,
        sights=list(sights(seen)),
        chosen=chosen,
        rates=rates,
        rates_reason=rates_reason,
    )


def sights(seen: Seen) -> Iterator[str]:
    """What was seen, in plain words, a line each."""
    for number, modality in enumerate(seen.modalities, start=1):
        called = f" = {modality.name}" if modality.name else ""
        yield f"modality {number}{called}: {modality.words}"
        if modality.constant:
            yield (
                f"modality {number}: {counted(len(modality.constant), 'feature')} that never "
                f"{'vary' if len(modality.constant) > 1 else 'varies'}: {_some(modality.constant)}"
            )
        for feature in modality.counting:
            yield (f"modality {number}: feature {feature} counts the rows: an id? Leave it out")
    yield _of_label(seen)
    yield from seen.notes
    train, validation, test = seen.splits
    drawn = "drawn here" if seen.resplit else "as the file says"
    yield f"splits {drawn}: {train} rows train, {validation} validate, {test} test"
    what = "labels" if seen.values is None else "label's variance"
    for leak in seen.leaks[:_MOST_NAMED]:
        yield (
            f"feature {leak.feature} of modality {leak.modality} alone tells "
            f"{100 * leak.accuracy:.3g} % of the {what}: is it the label itself?"
        )
    if len(seen.leaks) > _MOST_NAMED:
        yield f"and {len(seen.leaks) - _MOST_NAMED} features more that do"


def _of_label(seen: Seen) -> str:
    values = seen.values
    if seen.task is Task.MULTILABEL:
        each = f"{min(seen.labels)} to {max(seen.labels)} rows"
        a_row = sum(seen.labels) / seen.rows
        return f"{len(seen.labels)} labels, of {each}; a row has {a_row:.3g} of them on average"
    if seen.task is Task.ORDINAL:
        return f"{len(seen.counts)} ranks, of {min(seen.counts)} to {max(seen.counts)} rows"
    if values is None:
        classes = f"{len(seen.counts)} classes, of {min(seen.counts)} to {max(seen.counts)} rows"
        return f"{classes}; always the commonest is right in {100 * seen.majority:.3g} %"
    return (
        f"label: a number, {values.low:.4g} to {values.high:.4g}, mean {values.mean:.4g}, sd "
        f"{values.sd:.4g}, {values.distinct:,} different values"
    )


def _some(numbers: tuple[int, ...]) -> str:
    named = ", ".join(map(str, numbers[:_MOST_NAMED]))
    return named if len(numbers) <= _MOST_NAMED else f"{named}, ..."


def _yaml(value: object) -> str:
    """The value as YAML on one line; a string is quoted, which holds for any."""
    return json.dumps(value, ensure_ascii=True)
