"""What a study file may name, as Markdown made from the registries: nothing is written twice."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from raysweep.data.registry import DATASETS
from raysweep.losses import COMMON_OPTIONS, LOSSES
from raysweep.metrics import REGISTRY
from raysweep.plugins.options import Option
from raysweep.study.encoders import BUILT_IN, CNN, TRANSFORMER, VIT
from raysweep.trials.column_entries import columns_markdown


def datasets_markdown() -> str:
    """Every dataset with its characteristics."""
    parts = []
    for dataset in DATASETS.values():
        rows = [_parameter_row(parameter) for parameter in dataset.parameters]
        parts.append(f"**`{dataset.name}`**: {dataset.description}.")
        parts.append(_table(("field", "valid", "default", "meaning"), rows))
    return "\n\n".join(parts)


def metrics_markdown() -> str:
    """Every alignment metric with its range, options, invariances and source."""
    rows = []
    for metric in REGISTRY.values():
        low, high = metric.range
        better = "higher" if metric.higher_is_better else "lower"
        options = ", ".join(f"`{o.name}: {o.default}`" for o in metric.options)
        invariances = ", ".join(sorted(metric.invariances)).replace("_", " ")
        rows.append(
            (
                f"`{metric.name}`",
                f"{low:g} .. {high:g}, {better}",
                options,
                invariances,
                f"{metric.summary} {metric.source}",
            )
        )
    header = ("metric", "range, more aligned", "options and defaults", "invariant to", "what it is")
    return _table(header, rows)


def losses_markdown() -> str:
    """Every alignment loss with its options and source, then the options that all take."""
    rows = [
        (
            f"`{entry.name}`",
            ", ".join(f"`{option.name}: {_value(option.default)}`" for option in entry.options),
            f"{entry.meaning}; {entry.source}",
        )
        for entry in LOSSES.values()
    ]
    common = [_option_row(option) for option in COMMON_OPTIONS]
    return "\n\n".join(
        (
            _table(("loss", "options and defaults", "what it forces"), rows),
            "Every loss also takes:",
            _table(("option", "valid", "default", "meaning"), common),
        )
    )


def encoder_markdown(name: str) -> str:
    """The options of a built-in encoder."""
    rows = [_option_row(option) for option in BUILT_IN[name]]
    return _table(("option", "valid", "default", "meaning"), rows)


SECTIONS: Mapping[str, Callable[[], str]] = {
    "datasets": datasets_markdown,
    "metrics": metrics_markdown,
    "losses": losses_markdown,
    TRANSFORMER: partial(encoder_markdown, TRANSFORMER),
    CNN: partial(encoder_markdown, CNN),
    VIT: partial(encoder_markdown, VIT),
    "columns": columns_markdown,
}


def _parameter_row(parameter: Option) -> tuple[str, ...]:
    default = "required" if parameter.required else _value(parameter.default)
    return (f"`{parameter.name}`", parameter.expected, default, parameter.meaning)


def _option_row(option: Option) -> tuple[str, ...]:
    return (f"`{option.name}`", option.expected, _value(option.default), option.meaning)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
