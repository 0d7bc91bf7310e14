"""`python -m raysweep_analysis TABLE --out DIR`: the answer printed, the report in a folder."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from raysweep.errors import InputError
from raysweep.text import visible
from raysweep.trials.outcomes import margin_for
from raysweep_analysis.report import write_report
from raysweep_analysis.settings import Settings, beside


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 2 for a mistake of the user's."""
    parser = argparse.ArgumentParser(prog="python -m raysweep_analysis", description=__doc__)
    parser.add_argument("table", nargs="+", help="a run's folder or a Parquet file; or several")
    parser.add_argument("--out", required=True, help="folder for report.html, figures/ and tables/")
    parser.add_argument("--performance", help="outcome, such as performance_fused_test")
    parser.add_argument("--alpha", type=float, help="error rate, 0.05 by default")
    parser.add_argument(
        "--margin", type=float, help="of equivalence; by default the study's, or the outcome's"
    )
    parser.add_argument("--unit", choices=("auto", "seed", "draw"), help="what a test counts")
    parser.add_argument("--alignment", help="alignment column to report")
    given = parser.parse_args(arguments)
    source = given.table[0] if len(given.table) == 1 else given.table
    changes = {
        name: value
        for name in ("performance", "alpha", "margin", "unit", "alignment")
        if (value := getattr(given, name)) is not None
    }
    try:
        planned = beside(source).settings
        tested = planned.performance
        if given.margin is None:
            wanted = given.performance or tested
            changes["margin"] = margin_for(wanted, tested, planned.margin)
        settings: Settings = replace(planned, **changes)
        files = write_report(source, given.out, settings)
    except InputError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"--out {given.out}: cannot be written ({error.strerror or error})")
    found = files.findings
    lines = found.answer.lines() if found.answer is not None else list(found.emergence)
    sys.stdout.write(visible("\n".join([*lines, f"report: {files.html}"])) + "\n")
    return 0


def _failed(message: str) -> int:
    sys.stderr.write(f"{visible(message)}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
