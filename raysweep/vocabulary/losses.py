"""Checks the alignment loss of a study file and its options."""

from collections.abc import Mapping, Sequence

from raysweep.errors import InputError
from raysweep.objective import COMMON_OPTIONS, LOSSES, build_loss
from raysweep.objective.options import resolve
from raysweep.study_file import unknown_name
from raysweep.study_yaml import Fault, Location
from raysweep.vocabulary.files import file_digest, source_of
from raysweep.vocabulary.parts import check_options

_DEFAULT_LOSS = "infonce"


def check_loss(part: object, widths: Sequence[tuple[int, int]]) -> list[Fault]:
    part = part if isinstance(part, Mapping) else {}
    name, options = part.get("loss", _DEFAULT_LOSS), part.get("options")
    options = options if isinstance(options, Mapping) else {}
    at: Location = ("alignment", "loss")
    if not isinstance(name, str):
        return []
    faults: list[Fault] = []
    if ":" not in name:
        if name not in LOSSES:
            own = ", or a function of your own as package.module:function"
            return [Fault(at, unknown_name("loss", name, list(LOSSES)) + own)]
        declared = (*LOSSES[name].options, *COMMON_OPTIONS)
        faults = check_options(
            options,
            ("alignment", "options"),
            f"option of {name}",
            [option.name for option in declared],
            lambda given: resolve(declared, given, f"loss {name}"),
        )
    if faults:
        return faults
    try:
        loss = build_loss(name, options)
        for pair in widths:
            loss.parameter_count(*pair)
        if ":" in name:
            file_digest(source_of(name))
    except InputError as error:
        return [Fault(at, str(error))]
    except Exception as error:
        # A user's own module may raise anything while it is imported.
        return [Fault(at, f"loss {name}: {type(error).__name__}: {error}")]
    return []
