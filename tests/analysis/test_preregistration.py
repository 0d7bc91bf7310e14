import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from raysweep.errors import InputError
from raysweep_analysis.preregistration import AnalysisPlan, check, read_plan, register

PLAN = AnalysisPlan(
    study="s",
    cells=("a", "b"),
    draws={"a": (0, 1), "b": (0,)},
    seeds=(1000, 1001),
    search_seeds=(0, 1),
    hypotheses=("helps in a", "schadet in b — möglich"),
)
RUNS = [(c, d, s) for c, ds in PLAN.draws.items() for d in ds for s in PLAN.seeds]
ANALYSIS = {"performance": "performance_fused_test", "alpha": 0.05, "margin": 0.005}


def test_a_plan_survives_its_file():
    plan, digest = read_plan(register(PLAN, "2026-01-01"))
    assert plan == PLAN
    assert digest == PLAN.digest == hashlib.sha256(PLAN.canonical().encode()).hexdigest()


def test_the_hash_depends_on_content_and_not_on_order():
    assert replace(PLAN, margin=0.01).digest != PLAN.digest
    turned = replace(PLAN, draws={"b": (0,), "a": (0, 1)})
    assert turned.digest == PLAN.digest


def test_the_planned_analysis_is_confirmatory():
    assert check(PLAN, PLAN.digest, runs=RUNS, **ANALYSIS).confirmatory


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"plan": None}, "no plan was registered"),
        ({"plan": replace(PLAN, margin=0.02), "margin": 0.02}, "changed after its hash"),
        ({"alpha": 0.1}, "alpha is 0.1, planned was 0.05"),
        ({"performance": "performance_1_test"}, "outcome is performance_1_test"),
        ({"runs": RUNS[:-1]}, "1 of 6 planned confirm runs are missing"),
        ({"runs": [*RUNS, ("a", 0, 1002)]}, "1 confirm runs were not planned"),
        ({"other_digest": "0" * 64}, "the hash given is not the plan's"),
        (
            {
                "plan": replace(PLAN, science="ab"),
                "stored_digest": replace(PLAN, science="ab").digest,
                "science": "cd",
            },
            "digest is cd, planned was ab",
        ),
    ],
)
def test_any_deviation_makes_it_exploratory(change, said):
    options = {"plan": PLAN, "stored_digest": PLAN.digest, "runs": RUNS, **ANALYSIS} | change
    result = check(**options)
    assert not result.confirmatory
    assert any(said in deviation for deviation in result.deviations)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"plan": {"study": "s"}, "sha256": ""}'])
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(InputError, match=r"plan\.json"):
        read_plan(text)


def test_an_edited_file_is_noticed():
    content = json.loads(register(PLAN))
    content["plan"]["margin"] = 0.02
    plan, digest = read_plan(json.dumps(content))
    assert not check(plan, digest, runs=RUNS, **(ANALYSIS | {"margin": 0.02})).confirmatory


def test_the_module_needs_the_standard_library_only():
    code = (
        "import sys, importlib.util\n"
        "file = 'analysis/raysweep_analysis/preregistration.py'\n"
        "spec = importlib.util.spec_from_file_location('preregistration', file)\n"
        "module = importlib.util.module_from_spec(spec); sys.modules['preregistration'] = module\n"
        "spec.loader.exec_module(module)\n"
        "heavy = {'numpy', 'pandas', 'scipy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
