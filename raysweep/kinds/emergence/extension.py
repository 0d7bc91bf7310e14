"""Whether a larger emergence study searches its rates on the encoders that it searched them on.

What a proposal of rates is worth depends on the encoders that it is judged by. A study that is
extended by some of them may find other rates, and has then none of its pairs.
"""

from raysweep.kinds.emergence.families import families, heterogeneity_depth
from raysweep.kinds.emergence.plan import MODALITIES, tuning_cells
from raysweep.kinds.emergence.study import EmergenceStudy, Tuning
from raysweep.study.cells import Cell, expand, varying

_FIXING = ("D_phi", "depths")
_FREE = (*_FIXING, "offsets")
_MOST_SHOWN = 12


def extends(before: EmergenceStudy, after: EmergenceStudy) -> bool:
    """See `raysweep.kinds.kind.Kind.extends`."""
    if not set(before.seeds) <= set(after.seeds) or not same_search(before.tuning, after.tuning):
        return False
    # Where rates are tuned, those given here are never used.
    return before.tuning is not None or before.training == after.training


def same_search(before: Tuning | None, after: Tuning | None) -> bool:
    """Whether rates are searched alike, whatever the encoders are that they are searched on."""
    if before is None or after is None:
        return before is after
    free = set(_FREE)
    return before.model_dump(exclude=free) == after.model_dump(exclude=free)


def tuning_moved(before: EmergenceStudy, after: EmergenceStudy) -> str:
    """Why the rates of a family of ``before`` may come out otherwise in ``after``.

    Args:
        before: the study whose results are there.
        after: the study that is to use them.

    Returns:
        For people: the first modality whose rates would be searched on other encoders or another
        draw, which ones they are, and what to give in place. Empty where there is none.
    """
    if before.tuning is None or after.tuning is None:
        return ""
    first = {family.key: family.draws[0] for family in families(after)}
    for family in families(before):
        draw = first.get(family.key, family.draws[0])
        if draw != family.draws[0]:
            return (
                f"Rates are searched on the first draw, which was {family.draws[0]} and would be "
                f"{draw}; give it first in draws, or give another --out"
            )
    new = _searched_on(after, after.tuning)
    for at, cells in _searched_on(before, before.tuning).items():
        if _ids(cells) != _ids(new.get(at, cells)):
            return "\n".join([*_difference(at[1], cells, new[at]), _remedy(before, after)])
    return ""


def _searched_on(study: EmergenceStudy, tuning: Tuning) -> dict[tuple[str, int], list[Cell]]:
    """Family and modality -> the cells whose encoders a proposal is judged by."""
    return {
        (family.key, modality): tuning_cells(tuning, family, modality)
        for family in families(study)
        for modality in MODALITIES
    }


def _ids(cells: list[Cell]) -> list[str]:
    return [cell.id for cell in cells]


def _difference(modality: int, old: list[Cell], new: list[Cell]) -> list[str]:
    labels = varying(list({cell.id: cell for cell in (*old, *new)}.values()))
    kept = {cell.id for cell in old} & {cell.id for cell in new}
    lines = [
        *(f"- {labels[cell.id]}" for cell in old if cell.id not in kept),
        *(f"+ {labels[cell.id]}" for cell in new if cell.id not in kept),
    ]
    more = len(lines) - _MOST_SHOWN
    return [
        f"The rates of modality {modality} would be searched on other encoders, and what was "
        "measured with the rates of before trained again:",
        *(lines[:_MOST_SHOWN] or ["the same ones in another order"]),
        *([f"and {more} more"] if more > 0 else []),
    ]


def _remedy(before: EmergenceStudy, after: EmergenceStudy) -> str:
    """The least that makes ``after`` search as ``before`` did, tried out."""
    assert before.tuning is not None
    assert after.tuning is not None
    old = _searched_on(before, before.tuning)
    as_before = {"D_phi": _heterogeneities(before), "depths": _depths(before)}
    for names in (_FIXING[:1], _FIXING[1:], _FIXING):
        values = {name: as_before[name] for name in names}
        if not all(values.values()):
            continue
        new = _searched_on(after, after.tuning.model_copy(update=values))
        if all(_ids(cells) == _ids(new.get(at, cells)) for at, cells in old.items()):
            given = " and ".join(f"tuning.{name}: {list(v)}" for name, v in values.items())
            return f"Give {given}, as before, or give another --out"
    return (
        "Give new values behind those of before in every list of data and model, with "
        "tuning.D_phi and tuning.depths as before, or give another --out"
    )


def _heterogeneities(study: EmergenceStudy) -> tuple[int, ...]:
    assert study.tuning is not None
    if study.tuning.D_phi is not None:
        return study.tuning.D_phi
    found = dict.fromkeys(heterogeneity_depth(cell) for cell in expand(study))
    return tuple(value for value in found if isinstance(value, int))


def _depths(study: EmergenceStudy) -> tuple[int, ...]:
    assert study.tuning is not None
    there = {depth for pair in study.pairs("depth", 1) for depth in pair}
    return tuple(depth for depth in study.tuning.depths if depth in there)
