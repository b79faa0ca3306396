"""Values of our own JSON files: each has a type and a range, and an error names file, field, value and what is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posetrt.runtime.errors import EngineMismatch, PosetrtError, printable
from posetrt.runtime.fields import Fields, fields_of, is_plain_name, read_fields
from posetrt.runtime.files import read_json, written_together


def given(value: Any, name: str = "field") -> Fields:
    return fields_of({name: value}, "a.json", "note", "Write it again")


@pytest.mark.parametrize(
    ("read", "wrong", "expected"),
    [
        (lambda f: f.whole("field", 1, 8), 0, "a whole number from 1 to 8"),
        (lambda f: f.whole("field", 1, 8), 2.5, "a whole number from 1 to 8"),
        (lambda f: f.whole("field", 1, 8), True, "a whole number from 1 to 8"),
        (lambda f: f.whole("field", 1, 8), "3", "a whole number from 1 to 8"),
        (lambda f: f.whole("field", 1, 8), 10**400, "a whole number from 1 to 8"),
        (lambda f: f.number("field", 0), float("nan"), "a number from 0 on"),
        (lambda f: f.number("field", 0), float("inf"), "a number from 0 on"),
        (lambda f: f.number("field"), 10**400, "a number"),
        (lambda f: f.text("field"), 5, "printable characters"),
        (lambda f: f.text("field"), "a\x1b[2Jb", "printable characters"),
        (lambda f: f.text("field"), "a\nforged", "printable characters"),
        (lambda f: f.text("field", one_of=("NCHW", "NHWC")), "XYZ", "one of NCHW, NHWC"),
        (lambda f: f.text("field", one_of=("NCHW", "NHWC")), ["NCHW"], "one of NCHW, NHWC"),
        (lambda f: f.flag("field"), 1, "true or false"),
        (lambda f: f.size_wh("field"), [10**6, 10**6], "a whole number from 1 to 16384"),
        (lambda f: f.size_wh("field"), [8], "a list of 2 whole numbers"),
        (lambda f: f.numbers("field", 0, 1, 3), [0.5, float("nan"), 0.5], "a number from 0 to 1"),
        (lambda f: f.inner("field"), [1], "an object"),
        (lambda f: f.sha256("field"), "no hash", "of the form"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_file_and_what_is_right(read: Callable[[Fields], Any], wrong: Any, expected: str) -> None:
    with pytest.raises(PosetrtError) as refused:
        read(given(wrong))
    message = str(refused.value)
    assert message.startswith("a.json: field")
    assert expected in message
    assert message.endswith("Write it again")
    assert len(message) < 300
    assert "\n" not in message
    assert "\x1b" not in message


def test_a_field_inside_objects_and_lists_is_named_by_its_path() -> None:
    outer = given({"inner": [{"size": [8, "x"]}]})
    with pytest.raises(PosetrtError, match=r"a\.json: field\.inner\[0\]\.size\[1\] is 'x'"):
        outer.inner("field").inners("inner")[0].wholes("size", 0, 9)
    with pytest.raises(PosetrtError, match=r"a\.json: absent is missing"):
        outer.text("absent")


@pytest.mark.parametrize("text", ["[" * 200_000 + "]" * 200_000, '{"a": ' * 200_000, '{"a": ' + "9" * 5000 + "}", '{"a": 1', "\ud800"])
def test_json_that_python_itself_stumbles_over_is_an_error_with_the_files_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deep.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(PosetrtError, match=r"deep\.json cannot be read as the JSON of a note"):
        read_json(path, "note")
    with pytest.raises(EngineMismatch, match=r"deep\.json.*Write it again"):
        read_fields(path, "note", "Write it again", EngineMismatch)


@pytest.mark.parametrize("value", [[], 5, None, "text"])
def test_a_file_that_holds_no_object_says_what_it_holds(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(value))
    with pytest.raises(PosetrtError, match=r"list\.json: the JSON object of a note was expected; got "):
        read_fields(path, "note")


def test_an_error_writes_out_what_a_terminal_would_obey() -> None:
    error = PosetrtError("no file evil\x1b[31m\nposetrt: all is well \u202e\udcff", "second line\r")
    assert str(error) == "no file evil\\x1b[31m\\nposetrt: all is well \\u202e\\udcff\nsecond line\\r"
    assert printable("Füße 人 é") == "Füße 人 é"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/abs", "a/b", "a\\b", "a\nb", "x" * 300, ".hidden"])
def test_a_name_that_would_lead_elsewhere_is_no_plain_name(name: str) -> None:
    assert not is_plain_name(name)
    assert is_plain_name("person 1.v2")


def test_a_failure_leaves_no_folder_that_was_made_for_it(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="no"),
        written_together(tmp_path / "person" / "model.onnx", tmp_path / "person" / "variants" / "fp16.onnx"),
    ):
        raise ValueError("no")
    assert not list(tmp_path.iterdir())
