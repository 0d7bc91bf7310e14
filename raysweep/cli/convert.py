"""Data of others as files that a study, or `raysweep features`, can name."""

from pathlib import Path
from typing import Annotated

import typer

from raysweep.cli.terminal import app, stderr, stdout

_AFFECT = ("mosi", "mosei", "urfunny", "mustard")
_KNOWN = (*_AFFECT, "avmnist", "mmimdb")


@app.command()
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A pickle of MultiBench's affect data, or the folder of AV-MNIST or MM-IMDb.",
        ),
    ],
    data: Annotated[str, typer.Option(help=f"One of {', '.join(_KNOWN)}.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Where to: .npz, of mmimdb .parquet or .jsonl.")
    ],
    layout: Annotated[
        str,
        typer.Option(
            help="Of avmnist: what the sequence of a sound runs over, coefficients as in the paper "
            "or frames, which is time."
        ),
    ] = "coefficients",
) -> None:
    """Make sequences, or a table of texts and images, of published data; no code of theirs runs."""
    from raysweep.errors import InputError

    if data not in _KNOWN:
        raise InputError(f"no data called {data!r}, valid are {', '.join(_KNOWN)}")
    if data in _AFFECT:
        told, path = _affect(source, data, out)
    elif data == "avmnist":
        told, path = _av_mnist(source, layout, out)
    else:
        told, path = _mm_imdb(source, out)
    for line in told:
        stderr.print(line, highlight=False, markup=False, soft_wrap=True)
    stdout.print(str(path), highlight=False, markup=False, soft_wrap=True)


def _affect(source: Path, data: str, out: Path) -> tuple[tuple[str, ...], Path]:
    from raysweep.api.own_data import save_data
    from raysweep.data.files.plain_pickle import read_plain_pickle
    from raysweep.data.published.affect import affect
    from raysweep.errors import InputError

    content = read_plain_pickle(source)
    try:
        found = affect(content, data)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    lengths = dict.fromkeys(found.modalities, found.lengths)
    saved = save_data(out, found.modalities, found.y, split=found.split, lengths=lengths)
    return found.told, saved


def _av_mnist(source: Path, layout: str, out: Path) -> tuple[tuple[str, ...], Path]:
    from raysweep.api.own_data import save_data
    from raysweep.data.published.av_mnist import av_mnist

    found = av_mnist(source, layout)
    return found.told, save_data(out, found.modalities, found.y, split=found.split)


def _mm_imdb(source: Path, out: Path) -> tuple[tuple[str, ...], Path]:
    from raysweep.data.published.mm_imdb import mm_imdb
    from raysweep.errors import InputError
    from raysweep.trials.storage import Output

    place = out.expanduser().absolute()
    if place.suffix not in (".parquet", ".jsonl"):
        raise InputError(
            f"--out {out}: ends with {place.suffix or 'nothing'}, expected .parquet or .jsonl"
        )
    found = mm_imdb(source)
    if place.suffix == ".parquet":
        content = found.table.to_parquet(index=False)
    else:
        lines = found.table.to_json(orient="records", lines=True, force_ascii=False)
        content = lines.encode(errors="surrogatepass")
    Output(place.parent).write(place.name, content)
    return found.told, place
