"""What the documents say must be so: links, fields, commands, the layout of the repository."""

import re
from pathlib import Path

import pytest
from rewrite_guide import rewritten
from study_fields import fields

from raysweep.cli import app
from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.models.study import ModelsStudy
from raysweep.study.bundled import bundled_studies
from raysweep.study.reader import parse_study

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in ("results", "build") for part in path.parts[1:])
    and ".venv" not in path.parts
)
GUIDE = (ROOT / "search_spaces" / "README.md").read_text()


def documented(field: str) -> bool:
    """Whether the guide has the field, or a sibling's row that names it."""
    parent, _, leaf = field.rpartition(".")
    whole = parent.rpartition(".")[2]
    return (
        f"`{field}`" in GUIDE
        or f"`{leaf}`" in GUIDE
        or f"`{parent}`" in GUIDE
        or whole in ("strength",)
    )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (path.parent / link).exists()] == []


@pytest.mark.parametrize(
    "field",
    dict.fromkeys(
        f for kind in (Study, EmergenceStudy, ModelsStudy) for f in fields(kind) if f != "files"
    ),
)
def test_every_field_of_a_study_is_in_the_guide(field: str) -> None:
    assert documented(field)


def test_generated_sections_of_the_guide_are_up_to_date() -> None:
    assert rewritten(GUIDE) == GUIDE, "run `make guide`"


def test_every_bundled_study_is_in_the_guide() -> None:
    for name in bundled_studies():
        assert f"({name}.yaml)" in GUIDE


def test_commands_in_the_documents_exist() -> None:
    text = "".join(path.read_text() for path in DOCUMENTS)
    used = set(re.findall(r"^raysweep ([a-z]+)", text, re.MULTILINE))
    used |= set(re.findall(r"`raysweep ([a-z]+)", text))
    known = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    assert used
    assert used <= known


def test_the_study_in_the_readme_is_valid_as_it_stands(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    studies = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert studies
    for block in studies:
        assert parse_study(block, "README.md", tmp_path).name == "mystudy"


def test_targets_in_the_readme_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert {"run", "test"} <= targets
    assert [t for t in targets if not re.search(rf"^{t}:", makefile, re.MULTILINE)] == []
