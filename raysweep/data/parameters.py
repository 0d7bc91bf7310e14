"""The parameters that datasets share."""

from raysweep.plugins.options import Option


def split_sizes(train: int, validation: int, test: int) -> tuple[Option, ...]:
    """The three row counts, with these defaults."""
    return tuple(
        Option(name, default, f"rows of the {name} split", low=8, kind="int", unit="rows")
        for name, default in (("train", train), ("validation", validation), ("test", test))
    )
