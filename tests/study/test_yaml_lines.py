"""What YAML that people write is read as, whichever version of YAML they have in mind."""

from pathlib import Path
from typing import Any

import pytest
from file_faults import faults_of, plainly
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.errors import InputError
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.study.reader import StudyFileError, dump_study, load_study, parse_study
from raysweep.study.yaml_lines import read_document

BASE = "name: x\ndata: {dataset: a, v: %s}\n"


def plain_faults(text: str, *overrides: str) -> tuple[str, ...]:
    """The faults that need no registry to be seen."""
    with pytest.raises(StudyFileError) as caught:
        plainly(text, *overrides)
    return caught.value.faults


def value_of(written: str) -> Any:
    """What a characteristic of the data is read as."""
    [value] = plainly(BASE % written).data[0].axes["v"]
    return value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", 1000),
        ("1e-3", 0.001),
        ("-1.5E+3", -1500.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("0", 0),
        ("-0", 0),
        ("0.10", 0.1),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ("'010'", "010"),
        ('"1:30"', "1:30"),
        ("a:30", "a:30"),
        ("=", "="),
        ("<<", "<<"),
        ("yes", True),
        ("off", False),
        (r'"\ud83d\ude00"', "😀"),
    ],
)
def test_a_word_is_read_as_it_is_meant(written: str, value: object) -> None:
    found = value_of(written)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("010", "010 for an octal number and others for a decimal one; write 10, or 0o for an"),
        ("-0777", "write -777"),
        ("089", "write 89, or 0o for an octal one, or '089' for a text"),
        ("1:30", "take 1:30 for 90 and others for a text; write 90, or '1:30' in quotes"),
        ("1:30:00.5", "write 5400.5"),
        (r'"\ud800 x"', r"\ud800 is half a character"),
        ("!!binary aGk=", "expected a number, text"),
        ("!mine 3", "could not determine a constructor"),
    ],
)
def test_what_could_be_either_is_one_fault_with_its_line(written: str, told: str) -> None:
    study = "name: x\ndata: {dataset: digits}\nmodel: {options: {o: %s}}"
    [fault] = plain_faults(study % written)
    assert fault.startswith("line 3: model.options.o: ")
    assert told in fault
    [overridden] = plain_faults(study % 1, f"model.options.o={written}")
    assert overridden.startswith(f"--set model.options.o={written}: ")
    assert told in overridden


@pytest.mark.parametrize("word", ["no", "off", "1e5", "3", "0o7"])
def test_a_word_that_is_no_text_is_told_as_it_was_written(word: str) -> None:
    [fault] = plain_faults(f"name: {word}\ndata: {{dataset: digits}}")
    assert fault.startswith(f"line 1: name: expected text, found {word}, which YAML reads as ")
    assert fault.endswith("quote it")


MERGED = """
name: x
data:
  - &first {dataset: synthetic, U: 4, draws: 2}
  - <<: *first
    U: 6
training: &t
  epochs: 3
  patience: 2
search: {strength: &range {low: 1, high: 2}}
"""


def test_merge_keys_bring_the_keys_of_another_mapping() -> None:
    study = plainly(MERGED)
    assert [(b.dataset, b.draws, b.axes) for b in study.data] == [
        ("synthetic", (0, 1), {"U": (4,)}),
        ("synthetic", (0, 1), {"U": (6,)}),
    ]


def test_what_is_merged_is_what_another_reader_merges() -> None:
    import yaml

    text = """
a: &a {p: 1, q: 2}
b: &b {<<: *a, q: 3, r: 4}
c: {<<: [*b, *a, {s: 5}], r: 6}
d: {q: 0, <<: *b}
"""
    found = read_document(text)
    assert found.value == yaml.safe_load(text)
    assert found.faults == []
    assert found.origin(("c", "q")) == "line 3"
    assert found.origin(("c", "r")) == "line 4"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data: {<<: {a: 1, a: 2}}", "line 1: data.a: this key stands twice (again at line 1)"),
        ("data: {<<: [{a: 1}, {b: 1, b: 2}]}", "line 1: data.b: this key stands twice"),
        ("data: {<<: 3}", "line 1: data.<<: merges mappings, as in <<: *name, and found a single"),
        ("data: {<<: [{a: 1}, 3]}", "line 1: data.<<: merges mappings"),
        ("a: &a {<<: *a}", "line 1: not valid YAML: nested too deeply"),
        ("a: &a {x: 1}\nb: {<<: *a, <<: *a}", "line 2: b.<<: this key stands twice"),
        ("a: !mine {x: 1}", "line 1: a: the tag !mine is not known"),
        ("a: 1\nb: x\0y", "line 2: not valid YAML: the character '\\x00' is not allowed"),
        ("a: 1\r\nb: 2\r\n\tc: 3", "line 3: not valid YAML"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, told: str) -> None:
    assert any(fault.startswith(told) for fault in faults_of(text)), faults_of(text)


def test_merging_cannot_grow_without_end() -> None:
    laughs = "a0: &a0 {x: 1}\n" + "".join(
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 12)
    )
    [fault] = plain_faults(laughs)
    assert "nested too deeply" in fault


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_file_is_read_in_every_unicode_encoding(
    tmp_path: Path, encoding: str, newline: str
) -> None:
    text = "name: x\ndescription: größer 图\ndata: {dataset: a}\n"
    (tmp_path / "s.yaml").write_bytes(text.replace("\n", newline).encode(encoding))
    assert load_study(tmp_path / "s.yaml").description == "größer 图"


def test_a_file_in_another_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes("name: x\ndescription: größer".encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2: the byte 0xf6 is not utf-8; save the file as"):
        load_study(tmp_path / "s.yaml")


# Whatever YAML gives a meaning to, and what readers of it disagree about.
ODD = st.sampled_from(
    [
        *("010", "08", "1:30", "0o10", "1_000", "1e-3", ".5", "-.5", "5.", "0x1f", "0b1", "+1"),
        *(
            "yes",
            "no",
            "on",
            "off",
            "y",
            "n",
            "~",
            "null",
            "true",
            "",
            " ",
            "=",
            "<<",
            "...",
            "---",
        ),
        *("2024-01-01", "nan", ".nan", ".inf", "- a", "a: b", "a #b", "#", "*a", "&a", "!a", "%a"),
        *(
            "@a",
            "`a`",
            "{}",
            "[]",
            "{{x}}",
            "|",
            ">",
            "'",
            '"',
            "\\",
            "$x$",
            "<b>",
            "&amp;",
            "[bold]",
        ),
        *("a\nb", "a\n\nb\n", "\n", "\t", " a ", "a\r\nb", "\x85", "\u2028", "\ufeff", "\x1b[31m"),
        *("\0", "😀", "中文", "שלום", "e\u0301", "x" * 300, "word " * 60, "--> ]]>", "=1+1"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(ODD, st.text(), st.builds(str.__add__, ODD, ODD)), st.one_of(ODD, st.text()))
def test_a_study_that_is_written_is_read_back_whatever_its_texts_hold(one: str, two: str) -> None:
    study = Study.model_validate(
        {
            "name": "x",
            "description": one,
            "data": [{"dataset": "a", "v": [two, 1]}],
            "model": {"encoder": "m:f", "options": {"o": two, "p": one}},
            "alignment": {"loss": "m:g", "options": {"q": one}},
            "verdict": {"hypotheses": [one, two]},
        }
    )
    assert parse_study(dump_study(study), "s", Path.cwd()) == study
