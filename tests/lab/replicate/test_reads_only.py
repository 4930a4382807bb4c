"""Blue is only read, and so is green by what only plans: by the API servers' audit logs, with users who have exactly the
rights that docs/reference/permissions.md prints.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.cluster.control_plane import audit_log
from migration.capacity.floors import apply_floors, plan_floors
from migration.clients.kubernetes import Kubernetes
from tests.lab.support import command
from tests.lab.support.away import remove_namespaces
from tests.lab.support.bare import Bare, await_object, on

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

DOCS = Path(__file__).parents[3] / "docs/reference/permissions.md"
SPACE = "reads-only"
USER = "system:serviceaccount:kube-system:bluegreen"
READS = {"get", "list", "watch"}
META = {"name": "web", "namespace": SPACE}
LABELS = {"app": "web"}
POD: dict[str, Any] = {
    "serviceAccountName": "web",
    "containers": [{"name": "web", "image": "example.test/web:1", "env": [{"name": "A", "value": "1"}]}],
}
DOUBLED = {**POD, "containers": [{**POD["containers"][0], "env": [{"name": "A", "value": v} for v in "12"]}]}
EVERY_RIGHT = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}]


def workload(kind: str, name: str, pod: dict[str, Any], **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": LABELS}, "spec": pod}
    meta = {**META, "name": name}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": meta,
        "spec": {"selector": {"matchLabels": LABELS}, "template": template, **spec},
    }


def rbac(kind: str, name: str, **rest: Any) -> dict[str, Any]:
    meta = {"name": name} if kind.startswith("Cluster") else {"name": name, "namespace": SPACE}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": meta, **rest}


def bound(kind: str) -> dict[str, Any]:
    return {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": f"{SPACE}-everything"},
        "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": SPACE}],
    }


DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "notes.reads-only.example.com"},
    "spec": {
        "group": "reads-only.example.com",
        "names": {"kind": "Note", "plural": "notes", "singular": "note", "listKind": "NoteList"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
# of each kind that Kubernetes guards in a way of its own when it is written, and of each that we read in a way of its own
OBJECTS: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": META},
    {"apiVersion": "v1", "kind": "Secret", "metadata": META, "stringData": {"password": "x"}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": META, "data": {"a": "1"}},
    {"apiVersion": "v1", "kind": "Service", "metadata": META, "spec": {"selector": LABELS, "ports": [{"port": 80}]}},
    {"apiVersion": "v1", "kind": "Service", "metadata": {**META, "name": "outside"}, "spec": {"ports": [{"port": 80}]}},
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**META, "name": "outside", "labels": {"kubernetes.io/service-name": "outside"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["198.51.100.7"]}],
        "ports": [{"name": "", "port": 80}],
    },
    workload("Deployment", "web", POD, replicas=2),
    workload("Deployment", "doubled", DOUBLED, replicas=1),
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**META, "name": "alone"},
        "spec": {**POD, "serviceAccountName": "default"},
    },
    rbac("Role", f"{SPACE}-everything", rules=EVERY_RIGHT[:1]),
    rbac("RoleBinding", f"{SPACE}-everything", **bound("Role")),
    rbac("ClusterRole", f"{SPACE}-everything", rules=EVERY_RIGHT),
    rbac("ClusterRoleBinding", f"{SPACE}-everything", **bound("ClusterRole")),
    {"apiVersion": "reads-only.example.com/v1", "kind": "Note", "metadata": META, "spec": {"text": "hello"}},
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": f"{SPACE}.example.com"},
        "spec": {
            "failurePolicy": "Ignore",
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": SPACE}},
                "resourceRules": [
                    {
                        "apiGroups": ["reads-only.example.com"],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["*"],
                    }
                ],
            },
            "validations": [{"expression": "params == null || true"}],
        },
    },
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": f"{SPACE}.example.com"},
        "spec": {
            "policyName": f"{SPACE}.example.com",
            "validationActions": ["Audit"],
            "paramRef": {"name": "web", "namespace": SPACE, "parameterNotFoundAction": "Allow"},
        },
    },
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": META,
        "spec": {
            "hosts": ["web.example.com"],
            "gateways": ["istio-system/public"],
            "http": [{"route": [{"destination": {"host": "web"}}]}],
        },
    },
    {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": META,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 1,
            "maxReplicas": 5,
        },
    },
]
CLUSTER_WIDE = (
    f"clusterrole/{SPACE}-everything",
    f"clusterrolebinding/{SPACE}-everything",
    f"validatingadmissionpolicybinding/{SPACE}.example.com",
    f"validatingadmissionpolicy/{SPACE}.example.com",
    "crd/notes.reads-only.example.com",
    f"namespace/{SPACE}",
)


def given(*objects: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def printed() -> list[dict[str, Any]]:
    """Every object in the docs' YAML."""
    blocks = [part.partition("```")[0] for part in DOCS.read_text().split("```yaml\n")[1:]]
    return [document for block in blocks for document in yaml.safe_load_all(block)]


class User:
    """The docs' ServiceAccount on both clusters, with a migration of its own."""

    def __init__(self, folder: Path, pair: tuple[Bare, Bare]) -> None:
        self.folder, self.pair = folder, pair
        self._from = {bare.name: audit_log(bare.kubeconfig.parent).stat().st_size for bare in pair}
        clusters: dict[str, Any] = {}
        for bare in pair:
            bare.kubectl("apply", "-f", "-", given=given(*printed()))
            admin = json.loads(bare.kubeconfig.read_text())
            token = bare.kubectl("create", "token", "bluegreen", "-n", "kube-system").strip()
            own = folder / f"{bare.name}.kubeconfig"
            own.write_text(json.dumps({**admin, "users": [{"name": bare.name, "user": {"token": token}}]}))
            # a port of loopback at which nobody listens
            clusters[bare.name] = {"kubeconfig": own.name, "gateway": {"address": f"127.0.0.{len(clusters) + 1}", "port": 9}}
        (folder / "Pulumi.edge.yaml").write_text(
            "config:\n  bluegreen:sides: {blue: plum, green: fern}\n  bluegreen:services: {}\n  bluegreen:generation: 1\n"
        )
        migration = {
            "version": 1,
            "clusters": clusters,
            "edge": "Pulumi.edge.yaml",
            "replicate": {"include": {"namespaces": [SPACE]}},
        }
        (folder / "migration.yaml").write_text(json.dumps(migration))

    def bind(self, bare: Bare, role: str) -> None:
        (binding,) = (each for each in printed() if each["kind"] == "ClusterRoleBinding")
        made = {**binding, "metadata": {"name": role}, "roleRef": {**binding["roleRef"], "name": role}}
        bare.kubectl("apply", "-f", "-", given=given(made))

    def run(self, *words: str, codes: tuple[int, ...] = (0,)) -> Any:
        output, log = command.run(self.folder / "migration.yaml", "--json", *words, codes=codes)
        return json.loads(output) if output else log

    def raise_floors(self, namespace: str) -> int:
        """What `capacity --yes` does, without its wait for pods: none ever runs here."""

        async def act() -> int:
            one, other = (
                Kubernetes.from_kubeconfig(self.folder / f"{bare.name}.kubeconfig", name=bare.name) for bare in self.pair
            )
            async with one as blue, other as green:
                floors = [change for change in await plan_floors(blue, green) if change.namespace == namespace]
                await apply_floors(floors, blue, green, ready_seconds=0)
                return len(floors)

        return asyncio.run(act())

    def _whole_lines(self, log: Path, name: str) -> str:
        read = log.read_bytes()[self._from[name] :]
        return read[: read.rfind(b"\n") + 1].decode()

    def asked(self, bare: Bare) -> list[dict[str, Any]]:
        """What this user has sent to this cluster since the last time, by its audit log."""
        log = audit_log(bare.kubeconfig.parent)
        token = json.loads((self.folder / f"{bare.name}.kubeconfig").read_text())["users"][0]["user"]["token"]
        mark = f"/version?mark={time.monotonic_ns()}"
        bare.kubectl("get", "--raw", mark, f"--token={token}", "--kubeconfig", str(self.folder / f"{bare.name}.kubeconfig"))
        deadline = time.monotonic() + 60
        while mark not in (text := self._whole_lines(log, bare.name)):
            assert time.monotonic() < deadline, f"{mark} never came to {log}"
            time.sleep(0.05)
        self._from[bare.name] += len(text.encode())
        events = [json.loads(line) for line in text.splitlines()]
        mine = [event for event in events if event["user"]["username"] == USER]
        return [event for event in mine if event["requestURI"] != mark and not event["requestURI"].startswith("/version")]


def writes(events: list[dict[str, Any]]) -> list[str]:
    """All that is neither a read nor the question of what one may do."""
    return [
        f"{event['verb']} {event['requestURI']}"
        for event in events
        if event["verb"] not in READS
        and not (event["verb"] == "create" and event.get("objectRef", {}).get("apiGroup") == "authorization.k8s.io")
    ]


def refused(events: list[dict[str, Any]]) -> list[str]:
    return [f"{event['verb']} {event['requestURI']}" for event in events if event["responseStatus"].get("code") in (401, 403)]


@pytest.fixture(scope="module")
def pieces(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    """Both clusters with what the docs print, blue with objects as well; nothing of it stays."""
    blue = pair[0]
    blue.kubectl("create", "namespace", SPACE)
    blue.kubectl("apply", "-f", "-", given=given(DEFINITION))
    blue.kubectl("wait", "--for=condition=Established", "crd/notes.reads-only.example.com", "--timeout=60s")
    await_object(blue, "serviceaccount/default", "-n", SPACE)
    blue.kubectl("apply", "-f", "-", given=given(*OBJECTS))
    try:
        yield pair
    finally:
        for bare in pair:
            bare.kubectl("delete", "--ignore-not-found", *CLUSTER_WIDE)


@pytest.fixture
def user(pieces: tuple[Bare, Bare], tmp_path: Path) -> Iterator[User]:
    """Bound to `bluegreen-read` on both clusters, as the docs print it."""
    try:
        yield User(tmp_path, pieces)
    finally:
        for bare in pieces:
            bare.kubectl("delete", "--ignore-not-found", "rolebinding/bluegreen-record", "-n", "istio-system")
            for name in ("read", "replicate", "move", "record"):
                bare.kubectl("delete", "--ignore-not-found", f"clusterrolebinding/bluegreen-{name}")
                bare.kubectl("delete", "--ignore-not-found", f"clusterrole/bluegreen-{name}")
            bare.kubectl("delete", "--ignore-not-found", "serviceaccount/bluegreen", "-n", "kube-system")


def test_the_printed_rights_which_only_read_blue_are_enough(user: User) -> None:
    blue, green = user.pair

    findings = user.run("preflight", codes=(0, 3))["findings"]
    assert [f for f in findings if f["status"] == "unknown"] == [], "everything could be read"
    planned = user.run("replicate", codes=(3,))
    assert planned["unread"] == {}
    assert {"object": "Note reads-only/web", "action": "create"}.items() <= {
        each["object"]: {"object": each["object"], "action": each["action"]} for each in planned["objects"]
    }["Note reads-only/web"].items()
    user.run("status")
    user.run("verify", f"{SPACE}/web", "--patience", "0", codes=(3,))
    for bare in user.pair:
        asked = user.asked(bare)
        assert {"list", "get"} >= {event["verb"] for event in asked} >= {"list"}
        assert writes(asked) == refused(asked) == [], f"what only plans and looks, on {bare.name}"

    user.bind(green, "bluegreen-replicate")
    done = user.run("replicate", "--yes")
    assert (done["failures"], done["conflicts"], done["held"], done["unread"]) == ([], [], [], {})
    there = {kind: on(green, kind, "-n", SPACE)["items"] for kind in ("role", "rolebinding", "note", "pod", "endpointslices")}
    assert all(there.values()), {kind: len(items) for kind, items in there.items()}
    assert on(green, "clusterrole", f"{SPACE}-everything")["rules"] == EVERY_RIGHT

    for change in (workload("Deployment", "doubled", DOUBLED, replicas=3), rbac("Role", f"{SPACE}-everything", rules=[])):
        blue.kubectl("apply", "-f", "-", given=given(change))
    again = user.run("replicate", "--yes")
    assert (again["failures"], again["conflicts"], again["unread"]) == ([], [], {})
    assert "Deployment reads-only/doubled" in again["applied"]
    last = user.run("replicate", "--yes")
    assert last["writes"] == 0

    asked = user.asked(green)
    assert {event["verb"] for event in asked} == {"list", "get", "create", "patch", "update"}, (
        "the log has writes where one writes"
    )
    assert refused(asked) == []
    asked = user.asked(blue)
    assert {event["verb"] for event in asked} == {"list", "get"}
    assert writes(asked) == refused(asked) == []
    assert any("/secrets" in event["requestURI"] for event in asked)


def test_the_role_that_reads_can_neither_write_nor_run_anything(user: User) -> None:
    blue = user.pair[0]
    for verb, what in (
        ("create", "configmaps"),
        ("patch", "deployments.apps"),
        ("update", "secrets"),
        ("delete", "pods"),
        ("get", "pods/exec"),
        ("create", "pods/exec"),
        ("get", "nodes/proxy"),
        ("get", "services/proxy"),
        ("create", "serviceaccounts/token"),
        ("impersonate", "users"),
    ):
        resource, _, sub = what.partition("/")
        said = blue.kubectl("auth", "can-i", verb, resource, f"--subresource={sub}", f"--as={USER}", "-n", SPACE, check=False)
        assert said.strip() == "no", (verb, what)


MOVED = "moves-only"


@pytest.fixture
def moved(pair: tuple[Bare, Bare]) -> Iterator[str]:
    """`namespace/name` of a service that both clusters have."""
    kinds = ("Service", "VirtualService", "HorizontalPodAutoscaler")
    plain = {**POD, "serviceAccountName": "default"}
    there = [workload("Deployment", "web", plain, replicas=2), *(each for each in OBJECTS if each["kind"] in kinds)]
    try:
        for bare in pair:
            bare.kubectl("create", "namespace", MOVED)
            bare.kubectl("apply", "-f", "-", given=given(*there).replace(f'"{SPACE}"', f'"{MOVED}"'))
        yield f"{MOVED}/web"
    finally:
        remove_namespaces(pair, MOVED)
        for bare in pair:
            edge = ("gateways.networking.istio.io/bluegreen-peer", "destinationrules.networking.istio.io/bluegreen-peer")
            bare.kubectl("delete", "--ignore-not-found", "-n", "istio-system", *edge, "configmap/bluegreen-edge")


def test_the_printed_rights_are_enough_to_move_traffic(user: User, moved: str) -> None:
    for bare in user.pair:
        user.bind(bare, "bluegreen-move")
    assert user.raise_floors(MOVED) > 0
    user.run("capacity", "release", "--yes")
    user.run("enroll", moved, "--yes")
    user.run("status", codes=(0, 3))
    user.run("rollback", codes=(0, 1, 3))
    user.run("unenroll", moved, "--yes", "--force")
    for bare in user.pair:
        asked = user.asked(bare)
        assert refused(asked) == [], bare.name
        assert {event["verb"] for event in asked} >= {"list", "get", "patch", "delete"}, bare.name
