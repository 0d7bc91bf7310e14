"""Why metrics have no value, in words."""

from collections.abc import Sequence


def words_of(lost: Sequence[str], constant: Sequence[bool]) -> str:
    """Why metrics are undefined; empty where none is.

    Args:
        lost: their names.
        constant: for each modality whether all layers that are measured are constant.
    """
    fixed = [str(modality) for modality, is_fixed in enumerate(constant, start=1) if is_fixed]
    if not lost:
        return ""
    if fixed:
        which = f"modalit{'y' if len(fixed) == 1 else 'ies'} {' and '.join(fixed)}"
        return f"representations of {which} are constant"
    return f"{', '.join(lost)} cannot be told from these representations"
