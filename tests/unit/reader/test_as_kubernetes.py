"""Manifests are read as Kubernetes reads them: kubectl itself, without a server, is what each text is held against."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ruamel.yaml import YAML

import manifests

KUBECTL = str(Path(sys.executable).with_name("kubectl"))
HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"

SCALARS = """
true True TRUE tRue false yes Yes YES yES no NO on On ON off OFF y Y n N ~ null Null NULL nUll = << => +
0644 0o644 0O17 0x1F 0X1f 0x_1 0b11 0B1 -0b1 +0b1 08 09.5 0_7 00 -0 -0.0 +12 -012 1_000 12_ _1 1__0 1:30 190:20:30 0o8 0b2
1e3 1E3 1e+3 1e-7 12e03 1.5e 1.0 1. .5 -.5 +.5 .5e3 .5_0 .5__0 .5_ ._5 .5e1_0 -.5_0 1.5_0 . .. ..5
1e21 1e20 123456789.123 0.0000001 1e400 -1e400 1.2.3 1e
9007199254740993 9223372036854775807 9223372036854775808 18446744073709551615 18446744073709551616 -9223372036854775808
-9223372036854775809 123456789012345678901234567890
2024-01-01 2024-1-1 2001-12-14t21:59:43.10-05:00 12:30 10.0.0.1 v1.2 1.2.3.4/8 100m 1Gi 5s x86_64 nan inf Infinity NaN
!!str\\ 1 !!int\\ "3" !!int\\ 0x10 !!float\\ 1 !!float\\ "2.5" !!bool\\ yes !!null\\ ~ !!binary\\ aGk=
!own\\ 012 "012" '' "yes" '='
""".replace("\\ ", "\0").split()


def whole(text: str) -> int | float:
    return int(text) if -(2**63) <= int(text) < 2**63 else float(text)  # kubectl prints large floats without a point


def by_kubectl(text: str | bytes, folder: Path) -> tuple[list[Any], str]:
    """The objects that kubectl reads and what it says; it puts a label on each so that it prints them."""
    file = folder / "given.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    command = [KUBECTL, "label", "--local", "--dry-run=client", "-o", "json", "-f", str(file), "lab=x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found, rest = [], done.stdout
    while rest.strip():
        value, end = json.JSONDecoder(parse_int=whole).raw_decode(rest.lstrip())
        del value["metadata"]["labels"]
        found.append(value)
        rest = rest.lstrip()[end:]
    return found, done.stderr


def ours(text: str | bytes) -> list[Any]:
    return [each.value for each in manifests.read(text) if each.value is not None]


def test_every_scalar_is_what_kubectl_takes_it_for(tmp_path: Path) -> None:
    lines = (f"  at{index}: {text}" for index, text in enumerate(each.replace("\0", " ") for each in SCALARS))
    text = HEAD + "data:\n" + "\n".join(lines)
    theirs, said = by_kubectl(text, tmp_path)
    assert len(theirs) == 1, said
    (found,) = ours(text)
    for index, scalar in enumerate(SCALARS):
        read, expected = found["data"][f"at{index}"], theirs[0]["data"][f"at{index}"]
        same = read == expected and isinstance(read, bool) == isinstance(expected, bool)
        assert same, f"{scalar}: {read!r}, kubectl reads {expected!r}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("on: 1\n8080: a\n010: b\n1.5: c\n1e3: d\nno: e\n=: f\n2024-01-01: g", id="keys"),
        pytest.param("a: &x {p: 1, q: [2]}\nb: *x\nc: {p: 2, <<: *x}\nd: {<<: *x, p: 2}", id="anchors and merges"),
        pytest.param("b: {<<: [{p: 1}, {p: 2, q: 3}]}\n'<<': {r: 1}", id="a merge of a list"),
        pytest.param("a: 1\na: 2", id="a key given twice"),
        pytest.param("a: |\n  ---\n  x\nb: >-\n  ---\n  y", id="--- in a text"),
        pytest.param("enum:\n- =\n- '='\n- !=\n- =~", id="an enum of operators"),
        pytest.param("a: 1\r\nb: |\r\n  x\r\n  y\r\n", id="CRLF"),
        pytest.param("a: b\n...\n", id="the mark of an end"),
        pytest.param("a:\tb\nc: 1\t# d", id="tabs between words"),
        pytest.param("a: {b:c, d: e:f, g: http://h/i}\nj: [k, l: m]", id="colons"),
        pytest.param("a: 'it''s'\nb: \"\\u263A\\x41\\n\"\nc: é\n\nd: \"x\n  y\"", id="quotes"),
    ],
)
def test_a_document_is_what_kubectl_takes_it_for(text: str, tmp_path: Path) -> None:
    expected, said = by_kubectl(HEAD + text, tmp_path)
    assert expected, said
    assert ours(HEAD + text) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"---\n# nothing\n---\n{HEAD}--- # next\n{HEAD}---\n", id="documents"),
        pytest.param('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"b":1.0,"c":1e2}}', id="JSON"),
        pytest.param('{\n\t"apiVersion":"v1",\n\t"kind":"ConfigMap",\n\t"metadata":{"name":"a"}\n}\n', id="JSON with tabs"),
        pytest.param('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}\n' * 3, id="JSON after JSON"),
        pytest.param("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", id="flow style"),
        pytest.param(b"\xef\xbb\xbf" + HEAD.encode(), id="a byte order mark"),
        pytest.param(f"---\r\n{HEAD}\r\n---\r\n{HEAD}", id="documents, CRLF"),
    ],
)
def test_a_text_is_divided_as_kubectl_divides_it(text: str | bytes, tmp_path: Path) -> None:
    expected, said = by_kubectl(text, tmp_path)
    assert expected, said
    assert ours(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("a: .inf", "line 4: inf is no number", id="infinite"),
        pytest.param("a: &b [*b]", "line 4: an anchor that contains itself", id="an anchor in itself"),
        pytest.param("? [1]\n: 2", "line 4: a key must be a text", id="a list as key"),
        pytest.param("~: 1", "line 4: a key must be a text", id="no key"),
        pytest.param("a: 1\nb:\n\t- c", "line 6: not YAML", id="tabs that indent"),
        pytest.param("a: !!int x", "line 4: 'x' is no int", id="not what its tag says"),
        pytest.param("a: *b", "line 4: not YAML", id="an alias of nothing"),
        pytest.param("a: {{ .Values.b }}", "looks like a template: render it first", id="a template"),
        pytest.param("a: [", "not YAML", id="cut short"),
        pytest.param("a: {<<: 1}", "line 4: << takes a mapping", id="a merge of nothing"),
    ],
)
def test_a_document_that_kubectl_refuses_is_refused_alone_by_its_line(text: str, told: str, tmp_path: Path) -> None:
    _, said = by_kubectl(HEAD + text, tmp_path)
    assert said.startswith("error"), said
    first, second = manifests.read(f"{HEAD}{text}\n---\n{HEAD}")
    assert told in first.problem
    assert (first.number, second.number, second.problem) == (1, 2, "")
    assert second.value["kind"] == "ConfigMap"


def test_a_document_that_begins_beside_its_mark_is_refused(tmp_path: Path) -> None:
    text = f"{HEAD}--- {{a: 1}}\n---\n{HEAD}"
    assert "invalid Yaml document separator" in by_kubectl(text, tmp_path)[1]
    documents = manifests.read(text)
    assert [bool(each.problem) for each in documents] == [False, True, False]
    assert documents[1].problem.startswith("line 4: '--- {a: 1}'")


def test_aliases_of_aliases_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MOST_VALUES", 100_000)
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))]
    (document,) = manifests.read("\n".join(lines))
    assert "aliases of aliases" in document.problem


def test_no_value_is_shared_by_what_is_anchored() -> None:
    (document,) = manifests.read("a: &x {p: 1}\nb: *x")
    document.value["a"]["p"] = 2
    assert document.value["b"]["p"] == 1


DOUBLED = "spec:\n  hosts: [a]\n  hosts: [b]\n"


def test_a_key_given_twice_is_named() -> None:
    (document,) = manifests.read(DOUBLED)
    assert document.doubled == ("spec.hosts",)
    assert manifests.read('{"a": 1, "a": 2}')[0].doubled == ("a",)


def test_an_edited_file_must_not_have_a_key_twice() -> None:
    with pytest.raises(manifests.ManifestError, match=r"spec\.hosts is given twice"):
        manifests.read_one(DOUBLED)


@pytest.mark.parametrize("text", ["", "a: 1\n---\nb: 2"], ids=["none", "two"])
def test_one_document_is_one(text: str) -> None:
    with pytest.raises(manifests.ManifestError, match="documents; allowed: one"):
        manifests.read_one(text)


def test_bytes_that_are_no_text_are_reported_by_their_line() -> None:
    (document,) = manifests.read(b"a: 1\nb: \xff\xfe")
    assert document.problem == "line 2: is not UTF-8 text"


def test_what_is_written_is_read_back_the_same_by_every_reader(tmp_path: Path) -> None:
    texts = [each.replace("\0", " ") for each in SCALARS]
    texts += ["a: b", "- a", " a ", "a\nb\n", "é", "'", '"', "#", "", "a #b", "\t"]
    value: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a"},
        "data": {f"at{index}": text for index, text in enumerate(texts)},
        "more": [1, -2, 1.5, 1e30, True, False, None, {"on": {}, "012": []}, "x" * 300],
    }
    written = manifests.write(value)
    assert manifests.read_one(written) == value
    assert by_kubectl(written, tmp_path)[0] == [value]
    assert yaml.safe_load(written) == value
    assert YAML(typ="safe").load(written) == value
