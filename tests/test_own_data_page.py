"""The page about a user's own data: its blocks run, and its messages are those of the program."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raysweep.data.arrays import PARAMETERS
from raysweep.data.files.opened import open_source
from raysweep.data.registry import load
from raysweep.study import checks
from raysweep.study.cells import expand
from raysweep.study.reader import parse_study

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "own_data.md").read_text()


def blocks(language: str) -> list[str]:
    """The page's blocks of code in a language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [block for of, block in fenced if of == language]


def test_the_page_has_no_block_that_is_not_run() -> None:
    assert re.findall(r"^```(\w*)$", PAGE, re.MULTILINE) == [
        *("python", "", "yaml", "", "", "", "python", "", "python", "", "yaml", ""),
        *("yaml", "", "yaml", ""),
    ]


def test_python_writes_a_file_that_a_study_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, of_sequences, of_images = blocks("python")
    found: dict[str, object] = {}
    exec(compile(code, "save.py", "exec"), found)
    assert repr(found["study"]) == "Study(name='mine', kind='forcing', cells=1)"
    views = load("arrays", {"path": str(tmp_path / "mine.npz")})
    assert views.names == ("text", "image")
    assert [x.shape[1] for x in views.inputs] == [8, 16]
    exec(compile(of_sequences, "save_sequences.py", "exec"), {})
    views = load("arrays", {"path": str(tmp_path / "clips.npz")})
    assert [of.words for of in views.features] == ["12 tokens of 5 features", "16 features"]
    assert set(views.inputs[0][:, -1]) == set(range(3, 13))
    exec(compile(of_images, "save_images.py", "exec"), {})
    halves, *_ = blocks("yaml")[1:]
    study = parse_study(halves, "halves.yaml", tmp_path, (), checks.check, checks.resolve_files)
    assert [cell.encoder for cell in expand(study)] == ["mlp", "cnn", "vit"]


def test_the_study_names_columns_and_validate_says_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 6)), columns=[f"img_{k}" for k in range(6)])
    others = {name: rng.normal(size=300) for name in ("title_len", "price", "audio")}
    frame = frame.assign(**others, kind=np.array(["a", "b", "c"])[np.arange(300) % 3])
    frame["part"] = np.repeat(["train", "validation", "test"], [200, 50, 50])
    frame.to_csv(tmp_path / "mine.csv", index=False)
    study, _, numbers, tags = blocks("yaml")
    (tmp_path / "mine.yaml").write_text(study)
    resolved = parse_study(study, "mine.yaml", tmp_path, (), checks.check, checks.resolve_files)
    assert resolved.name == "mine"
    said = parse_study(numbers, "prices.yaml", tmp_path, (), checks.check, checks.resolve_files)
    assert (said.tested.performance, said.tested.margin) == ("mae_fused_test", 0.1)
    frame.assign(tag_a=np.arange(300) % 2, tag_b=np.arange(300) // 2 % 2).to_csv(
        tmp_path / "mine.csv", index=False
    )
    said = parse_study(tags, "tags.yaml", tmp_path, (), checks.check, checks.resolve_files)
    assert said.tested.performance == "mean_average_precision_fused_test"
    frame.to_csv(tmp_path / "mine.csv", index=False)
    [printed] = blocks("")
    command, *_ = re.findall(r"`(raysweep validate [^`]+)`", PAGE)
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed


def test_every_field_is_on_the_page() -> None:
    for parameter in PARAMETERS:
        name = parameter.name
        shown = "modality_1` to `modality_4" if name.startswith("modality_") else name
        assert f"`{shown}`" in PAGE, name


def test_every_suffix_on_the_page_is_read(tmp_path: Path) -> None:
    table = PAGE[PAGE.index("| you have") : PAGE.index("The suffix of")]
    for suffix in set(re.findall(r"\.(?:npz|csv|tsv|parquet|safetensors)\b", table)):
        path = tmp_path / f"mine{suffix}"
        path.write_bytes(b"")
        with pytest.raises(ValueError, match=r"not an? |is empty"):
            open_source(str(path))


_CHANGES = "|".join(
    (
        r"[\d,.]*\d[\d,.]*",
        r"'[^']*'",
        r"\([^)]*\)",
        r"\b(?:x1|x2|V2|F8\w*|y|txt_\*|train, extra|prot)",
        r"\ba$",
        r"\\\|",
        r"\.\.\.",
        ": ",
    )
)


def said_by_the_program() -> str:
    """All texts in the code that reads data, the changing places of f-strings as ``{}``."""
    texts = []
    for path in sorted((ROOT / "raysweep" / "data").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                texts.append(
                    "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_the_messages_on_the_page_are_those_of_the_program() -> None:
    said = said_by_the_program()
    table = PAGE[PAGE.index("| what is said") : PAGE.index("Two traps lie")]
    rows = re.findall(r"^\| (.*?) \| ", table, re.MULTILINE)[2:]
    assert len(rows) > 25
    for row in rows:
        for message in re.findall(r"`([^`]+)`", row):
            # What changes from file to file is no part of the words.
            words = re.split(_CHANGES, message)
            longest = max((part.strip() for part in words), key=len)
            assert longest in said or re.sub("column|missing values", "{}", longest) in said, (
                message,
                longest,
            )
