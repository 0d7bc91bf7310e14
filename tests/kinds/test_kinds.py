"""The table of kinds: what a third one costs, and that nothing else tells kinds apart."""

import ast
import sys
from pathlib import Path

import pytest
from tiny_runs import tiny

import raysweep
import raysweep_analysis
from raysweep.kinds import kind

THIRD = """
from typing import Literal

from raysweep.kinds.forcing.kind import Forcing
from raysweep.kinds.forcing.study import ForcingStudy as Study


class ThirdStudy(Study):
    kind: Literal["third"] = "third"


class Third(Forcing):
    study = ThirdStudy


KIND = Third()
"""
ROOT = Path(raysweep.__file__).parent


def test_a_third_kind_costs_a_folder_and_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "third_kind"
    folder.mkdir()
    (folder / "kind.py").write_text(THIRD)
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(kind._TABLE, "third", "third_kind.kind")
    with pytest.raises(raysweep.InputError, match="trial, models, third"):
        raysweep.Study(**tiny(kind="fourth"))
    wanted = raysweep.Study(**tiny(kind="third", search__trials=2))
    assert type(wanted.resolved).__name__ == "ThirdStudy"
    run = raysweep.run(wanted, tmp_path / "out", "local", progress=False)
    assert run.status().finished
    assert raysweep.open_run(run.folder).study == wanted
    assert len(run.verdicts) == 1
    sys.modules.pop("third_kind.kind")


def test_kinds_are_told_apart_in_their_table_alone() -> None:
    studies = {kind.kind_named(name).study.__name__ for name in kind.kind_names()}
    found = []
    analysis = Path(raysweep_analysis.__file__).parent
    for path in (*ROOT.rglob("*.py"), *analysis.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                asked = ast.unparse(node.args[1])
                if any(name in asked for name in (*studies, "EmergenceSweep", "ForcingSweep")):
                    found.append(f"{path}:{node.lineno}")
            if isinstance(node, ast.Compare):
                compared = {getattr(c, "value", None) for c in [node.left, *node.comparators]}
                if compared & set(kind.kind_names()):
                    found.append(f"{path}:{node.lineno}")
    assert found == []
