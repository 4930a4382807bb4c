"""What is in Secrets is in no output, plan, journal or log, whatever becomes of them: each value here is a canary, and all that
the commands print and keep is searched for it, as it is and coded.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.support import command
from tests.lab.support.away import remove_namespaces
from tests.lab.support.bare import Bare, await_object, on, write_migration

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

SPACE = "canaries"
CANARY = "canary-7f3a"
POLICY = "canaries.example.com"


def secret(name: str, kind: str = "Opaque", **rest: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": SPACE, **rest.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": meta, **rest}


def value(name: str, turn: int = 1) -> str:
    return f"{CANARY}-{name}-{turn}-of-the-mine"


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


HELM = coded(coded(gzip.compress(json.dumps({"config": {"password": value("helm")}}).encode(), mtime=0).hex()))
DOCKER = json.dumps({"auths": {"registry.example.com": {"auth": coded(f"me:{value('docker')}")}}})


def secrets(turn: int) -> list[dict[str, Any]]:
    """What blue has at first, and after a change of every value."""
    return [
        secret("opaque", stringData={"password": value("opaque", turn)}, data={"raw": coded(value("raw", turn))}),
        secret("tls", "kubernetes.io/tls", stringData={"tls.crt": value("crt", turn), "tls.key": value("key", turn)}),
        secret("docker", "kubernetes.io/dockerconfigjson", stringData={".dockerconfigjson": DOCKER}),
        secret("basic", "kubernetes.io/basic-auth", stringData={"username": "me", "password": value("basic", turn)}),
        secret(
            "sh.helm.release.v1.app.v1",
            "helm.sh/release.v1",
            metadata={"labels": {"owner": "helm", "name": "app", "version": "1"}},
            stringData={"release": HELM},
        ),
        secret("by-hand", stringData={"password": value("by-hand", turn)}),  # changed on green
        secret("in-the-way", stringData={"password": value("in-the-way", turn)}),  # another is on green
        secret("refused", stringData={"password": value("refused", turn)}),  # by a policy of green that quotes it
        secret("annotated", metadata={"annotations": {"example.com/note": "x"}}, stringData={"a": value("annotated", turn)}),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": SPACE},
            "data": {"dsn": value("config-map", turn)},
        },
    ]


def fixed(turn: int) -> dict[str, Any]:
    return secret("fixed", immutable=True, stringData={"password": value("fixed", turn)})


TOKEN = secret(
    "token", "kubernetes.io/service-account-token", metadata={"annotations": {"kubernetes.io/service-account.name": "mine"}}
)
ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "mine", "namespace": SPACE}}
QUOTING: list[dict[str, Any]] = [
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": POLICY},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": SPACE}},
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}
                ],
            },
            "validations": [
                {
                    "expression": "object.metadata.name != 'refused'",
                    "messageExpression": "'weak: ' + string(object.data.password)",
                }
            ],
        },
    },
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": POLICY},
        "spec": {"policyName": POLICY, "validationActions": ["Deny"]},
    },
]


def given(*objects: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


@pytest.fixture
def held(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    """Both clusters with Secrets that do not simply go through; nothing of it stays."""
    blue, green = pair
    try:
        for bare in pair:
            bare.kubectl("create", "namespace", SPACE)
            await_object(bare, "serviceaccount/default", "-n", SPACE)
        blue.kubectl("apply", "-f", "-", given=given(ACCOUNT, TOKEN, fixed(1), *secrets(1)))
        green.kubectl("apply", "-f", "-", given=given(secret("in-the-way", stringData={"password": value("theirs")}), *QUOTING))
        yield pair
    finally:
        green.kubectl("delete", "--ignore-not-found", f"validatingadmissionpolicybinding/{POLICY}")
        green.kubectl("delete", "--ignore-not-found", f"validatingadmissionpolicy/{POLICY}")
        remove_namespaces(pair, SPACE)


class Transcript:
    """A migration of the namespace, and all that the command has said of it."""

    def __init__(self, folder: Path, pair: tuple[Bare, Bare]) -> None:
        self.folder = folder
        self.said: dict[str, str] = {}
        write_migration(folder, pair, SPACE)

    def run(self, *words: str) -> str:
        said = "".join(command.run(self.folder / "migration.yaml", *words, codes=(0, 1, 3)))
        self.said[f"{len(self.said)} {' '.join(words)}"] = said
        return said

    def everything(self) -> dict[str, str]:
        files = {str(path): path.read_text(errors="replace") for path in self.folder.rglob("*") if path.is_file()}
        return {**self.said, **files}


def forms(text: str) -> set[str]:
    """A value as it is, and coded as it would be from any place within something else."""
    inside = {coded("x" * shift + text)[4 if shift else 0 : -4] for shift in range(3)}
    return {text, json.dumps(text).strip('"'), text.encode().hex(), *inside}


def test_no_value_of_a_secret_is_in_anything_that_is_printed_or_stored(held: tuple[Bare, Bare], tmp_path: Path) -> None:
    blue, green = held
    transcript = Transcript(tmp_path, held)
    await_object(blue, "secret", "token", "-n", SPACE)

    for words in (["preflight"], ["--json", "preflight"], ["replicate"], ["--json", "replicate"], ["-v", "replicate"]):
        transcript.run(*words)
    first = transcript.run("-v", "replicate", "--yes")
    assert "Secret canaries/refused" in first, "the policy refuses it, and says so"
    assert POLICY in first
    assert "Secret canaries/in-the-way" in first
    password = on(green, "secret", "opaque", "-n", SPACE)["data"]["password"]
    assert base64.b64decode(password).decode() == value("opaque"), "it came along"

    blue.kubectl("delete", "secret", "fixed", "-n", SPACE)
    blue.kubectl("apply", "-f", "-", given=given(fixed(2), *secrets(2)))
    patch = json.dumps({"stringData": {"password": value("by-hand", 3)}})
    green.kubectl("patch", "secret", "by-hand", "-n", SPACE, "--type=merge", "-p", patch)
    second = transcript.run("--json", "replicate")
    assert '"data.password"' in second, "which field differs is told, by name"
    for words in (["-v", "replicate"], ["-v", "replicate", "--yes"], ["--json", "replicate", "--yes"]):
        transcript.run(*words)
    forced = transcript.run("--json", "-v", "replicate", "--yes", "--force")
    assert "immutable" in forced
    assert POLICY in forced
    for words in (["preflight"], ["status"], ["--json", "status"], ["capacity"], ["capacity", "--yes"], ["enroll"]):
        transcript.run("-v", *words)
    for name in ("opaque", "by-hand", "in-the-way", "refused"):
        told = transcript.run("-v", "--json", "replicate", "--explain", f"Secret/{SPACE}/{name}")
        assert '"class"' in told, "it is told what becomes of it, and not what is in it"

    live = {bare.name: on(bare, "secrets", "-n", SPACE)["items"] for bare in held}
    values = {base64.b64decode(text).decode() for items in live.values() for item in items for text in item["data"].values()}
    assert len(values) > 15
    was = {
        value(name, 1) for name in ("opaque", "raw", "crt", "key", "basic", "by-hand", "in-the-way", "refused", "config-map")
    }
    assert {value("opaque", 2), value("fixed", 2)} <= values, "what is searched for is what the clusters have"
    searched = {CANARY, *(form for each in values | was if len(each) > 12 for form in forms(each[:600]))}
    found = {
        (where, form[:60]) for where, text in transcript.everything().items() for form in searched if form and form in text
    }
    assert found == set()
