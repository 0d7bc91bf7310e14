"""Data of others as files that a study can name."""

from pathlib import Path
from typing import Annotated

import typer

from raysweep.cli.terminal import app, stderr, stdout


@app.command()
def convert(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A pickle of MultiBench's affect data.")
    ],
    data: Annotated[str, typer.Option(help="mosi, mosei, urfunny or mustard.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to, ending with .npz.")],
) -> None:
    """Make sequences with lengths of affect data; nothing of the pickle is run."""
    from raysweep.api.own_data import save_data
    from raysweep.data.affect import affect
    from raysweep.data.files.plain_pickle import read_plain_pickle
    from raysweep.errors import InputError

    content = read_plain_pickle(file)
    try:
        found = affect(content, data)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    for line in found.told:
        stderr.print(line, highlight=False, markup=False, soft_wrap=True)
    lengths = dict.fromkeys(found.modalities, found.lengths)
    path = save_data(out, found.modalities, found.y, split=found.split, lengths=lengths)
    stdout.print(str(path), highlight=False, markup=False, soft_wrap=True)
