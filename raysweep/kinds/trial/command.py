"""A trial as a command of any language: words without a shell, facts in, JSON lines out."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.kinds.trial.followed import followed, forget_ended, lines_of, parsed
from raysweep.kinds.trial.study import TrialCode
from raysweep.kinds.trial.told import TrialError, is_metric
from raysweep.trials.columns import named

if TYPE_CHECKING:
    from raysweep.kinds.trial.context import TrialContext

VARIABLE = "RAYSWEEP_TRIAL"
"""Names the file with the facts of the trial, in the environment of its command."""

PLACEHOLDER = re.compile(r"\{(\w+)\}")
FACTS = "trial.json"
RESULTS = "results.jsonl"
OUTPUT = "output.txt"
_GUARD = Path(__file__).with_name("guard.py")
_LAST_LINES = 20
_PLAIN = ("draw", "seed", "strength", "arm", "stage", "epochs", "device", "folder", "results")


def placeholders(
    axes: Mapping[str, object], options: Mapping[str, object], training: Iterable[str] = ()
) -> list[str]:
    """The names that the words of a command may have in braces."""
    of_training = (named("training", name) for name in training)
    return [*_PLAIN, "facts", *axes, *(named("option", name) for name in options), *of_training]


def run_command(code: TrialCode, context: "TrialContext") -> dict[str, object]:
    """Run a trial's command to its end.

    Args:
        code: with its words, and where it runs.
        context: the trial; told what the command logs.

    Returns:
        The metrics that it wrote last.

    Raises:
        TrialError: it ended with another exit code than 0, or wrote what is no JSON line.
    """
    place, results = context.folder / FACTS, context.folder / RESULTS
    facts = {**_facts_of(context), "results": str(results)}
    place.write_text(_written(facts))
    words = list(_words(code, {**facts, "facts": str(place)}))
    environment = {**os.environ, VARIABLE: str(place)}
    if not Path(code.folder or ".").is_dir():
        raise TrialError(f"trial.folder: there is no folder {code.folder} on this machine")
    forget_ended(results, context.epochs)
    with open(context.folder / OUTPUT, "wb") as stream:
        # The guard ends the command, and all that it has started, with this process.
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), *words],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=code.folder,
            env=environment,
        )
        try:
            with followed(results, context._place.show):
                ended = process.wait()
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
    if ended:
        [word, *_] = code.command or ("",)
        output = context.folder / OUTPUT
        raise TrialError(
            f"{_last_lines(output)}{word} ended {_how(ended)}; all that it printed is in {output}"
        )
    return _told(context, results)


def _facts_of(context: "TrialContext") -> dict[str, Any]:
    """What a command is told of its trial, as JSON holds it."""
    return {
        "cell": dict(context.cell),
        "draw": context.draw,
        "seed": context.seed,
        "strength": context.strength,
        "options": dict(context.options),
        "training": dict(context.training),
        "arm": context.arm.value,
        "stage": context.stage.value,
        "epochs": context.epochs,
        "device": context.device,
        "folder": str(context.folder),
    }


def _written(facts: Mapping[str, Any]) -> str:
    """Facts as the text of a file."""
    return json.dumps(facts, indent=1, sort_keys=True) + "\n"


def _words(code: TrialCode, facts: Mapping[str, Any]) -> Iterator[str]:
    values = {name: facts[name] for name in (*_PLAIN, "facts")}
    values |= facts["cell"]
    values |= {named("option", name): value for name, value in facts["options"].items()}
    values |= {named("training", name): value for name, value in facts["training"].items()}

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1], "")  # an option that this arm does not have
        return "" if found is None else str(found)

    for number, word in enumerate(code.command or ()):
        if number == 0:
            yield program(word, Path(code.folder or "."))
        else:
            yield PLACEHOLDER.sub(value, word)


def program(word: str, folder: Path) -> str:
    """The program that the first word of a command names; as it is where there is none.

    ``python`` is the one that raysweep runs in.
    """
    if word == "python":
        return sys.executable
    own = folder / word
    return str(own) if os.sep in word and own.is_file() else shutil.which(word) or word


def is_python(word: str) -> bool:
    """Whether the first word of a command is a Python."""
    return Path(word).name.startswith("python")


def _told(context: "TrialContext", results: Path) -> dict[str, object]:
    """Take in what the command wrote: points of the curves, then its metrics."""
    try:
        lines = lines_of(results)
    except OSError as error:
        raise TrialError(
            f"{results}: the command wrote no results there ({error.strerror}); it is told the "
            f"path as {{results}}, and in the file that {VARIABLE} names"
        ) from error
    metrics: dict[str, object] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            point = parsed(line)
        except ValueError as error:
            raise TrialError(f"{results}, line {number}: no JSON ({error}): {line[:80]}") from error
        if not isinstance(point, dict):
            raise TrialError(f"{results}, line {number}: expected an object of metrics by name")
        epoch = point.pop("epoch", None)
        if epoch is not None:
            context.log(epoch, **point)
        metrics |= {n: v for n, v in point.items() if epoch is None or is_metric(n)}
    return metrics


def _how(code: int) -> str:
    """How a command ended, of which the guard tells a signal as shells do."""
    if code > 128:
        try:
            name = signal.Signals(code - 128).name
        except ValueError:
            return f"with exit code {code}"
        want = " (which the system sends where memory is short)" if name == "SIGKILL" else ""
        return f"by {name}{want}"
    return f"with exit code {code}"


def _last_lines(output: Path) -> str:
    lines = output.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    return "".join(f"{line}\n" for line in lines)
