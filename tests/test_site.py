"""The pages of the site: what they show runs, and every page is in its list."""

import doctest
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_runs import environment, raysweep

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


class _Config(yaml.SafeLoader):
    """MkDocs's file, without the function that it names."""


_Config.add_multi_constructor("!!python/", lambda loader, suffix, node: suffix)
_Config.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)


def pages(nav: object) -> list[str]:
    """All pages of a list of pages."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in pages(part)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["losses_and_metrics.md", "statistics.md"])
def test_what_a_page_prints_is_what_comes_out(name: str) -> None:
    found = doctest.testfile(str(DOCS / name), module_relative=False)
    assert found.attempted > 4
    assert found.failed == 0


def test_every_page_is_in_the_list_once() -> None:
    listed = pages(yaml.load((ROOT / "mkdocs.yml").read_text(), _Config)["nav"])
    elsewhere = re.findall(
        r'^    "[\w/.]+\.md": "([\w.]+)",$', (DOCS / "site_pages.py").read_text(), re.M
    )
    assert len(elsewhere) > 5
    assert sorted(listed) == sorted([*(path.name for path in DOCS.glob("*.md")), *elsewhere])


@pytest.mark.slow
def test_the_first_study_runs_as_its_page_says(tmp_path: Path) -> None:
    text = (DOCS / "first_study.md").read_text()
    [document] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "first.yaml").write_text(document)
    lines = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    assert len(lines) >= 6
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "raysweep"
        done = raysweep(tmp_path, *arguments)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    assert (tmp_path / "results" / "first" / "report.html").is_file()
    [further] = re.findall(
        r"^raysweep analyze results/my (.*)$", (DOCS / "verdicts.md").read_text(), re.M
    )
    done = raysweep(tmp_path, "analyze", "results/first", *shlex.split(further))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_page_on_python_runs_as_it_stands(tmp_path: Path) -> None:
    [document] = re.findall(r"```yaml\n(.*?)```", (DOCS / "first_study.md").read_text(), re.DOTALL)
    (tmp_path / "first.yaml").write_text(document)
    [block] = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    command = [sys.executable, "-c", block]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search("force|known", done.stdout), done.stdout
    assert (tmp_path / "results" / "mine" / "report.html").is_file()


@pytest.mark.slow
def test_the_site_is_built_without_a_fault(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs pip install raysweep[docs]")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    index = (site / "index.html").read_text()
    assert 'href="verdicts.html"' in index
    reference = (site / "reference.html").read_text()
    assert "forcing_effects" in reference
    assert "<blockquote>" not in reference  # an example is code
    shutil.rmtree(site)
