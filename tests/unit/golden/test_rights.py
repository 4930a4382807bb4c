"""Each command, in cases whose output is compared, stays within the roles and actions of docs/reference/permissions.md; and
each right that moves traffic or the entry is used, so that the page gives none too many.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore
import botocore.client
import botocore.session
import pytest
import yaml
from moto import mock_aws

import routing
from migration.cli.main import cli
from tests.fakes.project import EDGE, Project
from tests.fakes.served import Asked
from tests.unit.golden import (
    test_capacity,
    test_enroll,
    test_preflight,
    test_replicate,
    test_rollback,
    test_status,
    test_verify,
)
from tests.unit.golden.test_entry import HOSTS, ZONE, records
from tests.unit.golden.test_shift import FAST
from tests.unit.golden.things import deployment, namespace, put, service

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/permissions.md").read_text()
DOCUMENTS = [document for block in PAGE.split("```yaml\n")[1:] for document in yaml.safe_load_all(block.partition("```")[0])]
ROLES: dict[str, list[dict[str, Any]]] = {
    each["metadata"]["name"]: each["rules"] for each in DOCUMENTS if each["kind"] == "ClusterRole"
}
# every authenticated user may read these: Kubernetes' own system:discovery
OPEN = {"/api", "/apis", "/version"}


def _rows(head: str) -> Iterator[list[str]]:
    """Cells of the table that begins with this head."""
    for line in PAGE.partition(f"{head}\n")[2].splitlines()[1:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def _named(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`([^`]+)`", cell))


# by command, as `entry shift` or `replicate --yes`: roles on blue and on green; actions of AWS
GIVEN = {
    command: {"plum": _named(blue), "fern": _named(green)}
    for commands, blue, green in _rows("| command | blue | green |")
    for command in _named(commands)
}
ACTIONS = {command: set(_named(cell)) for commands, cell in _rows("| command | actions |") for command in _named(commands)}


def roles_of(words: tuple[str, ...], cluster: str) -> tuple[str, ...]:
    """Of the longest name that the table has for it: `replicate --yes`, `entry shift`."""
    names = [name for name in GIVEN if set(name.split()) <= set(words)]
    return GIVEN[max(names, key=len)][cluster]


def allowed(asked: Asked, role: str, bound_in: str = "") -> bool:
    for rule in ROLES[role]:
        if asked.verb not in rule["verbs"]:
            continue
        if not asked.resource:
            if asked.name in rule.get("nonResourceURLs", ()):
                return True
        elif {"*", asked.group} & set(rule.get("apiGroups", ())) and {"*", asked.resource} & set(rule.get("resources", ())):
            return not bound_in or asked.namespace == bound_in
    return False


def bound_in(role: str) -> str:
    """The only namespace in which the page binds it; empty: in all."""
    for each in DOCUMENTS:
        if each["kind"] == "RoleBinding" and each["roleRef"]["name"] == role:
            return str(each["metadata"]["namespace"])
    return ""


def missing(project: Project, words: tuple[str, ...]) -> list[str]:
    """Requests that its roles do not allow."""
    return [
        f"{name}: {each}"
        for name, server in project.servers.items()
        for each in server.asked
        if not (not each.resource and each.name in OPEN)
        and not any(allowed(each, role, bound_in(role)) for role in roles_of(words, name))
    ]


def ran(project: Project, words: tuple[str, ...]) -> None:
    for server in project.servers.values():
        server.asked.clear()
    assert project.ran(*words).code in (0, 1, 2, 3, 4)


def without_a_record(project: Project) -> None:
    """No cluster has the record of the edge yet."""
    for server in project.servers.values():
        del server.objects["", "ConfigMap", routing.EDGE_NAMESPACE, routing.RECORD_NAME]


def stateful(project: Project) -> None:
    """A floor of what has no autoscaler and is no Deployment."""
    for cluster, replicas in (("plum", 3), ("fern", 1)):
        made = deployment("cart", replicas, ready=3)
        put(project, cluster, namespace(), service("cart"), {**made, "kind": "StatefulSet"})


def fast(project: Project) -> None:
    project.watched = True
    project.configure(FAST)


def turning_bad(project: Project) -> None:
    fast(project)
    project.traffic.bad = {"shop/cart"}


CASES: dict[str, tuple[Callable[[Project], object], tuple[str, ...]]] = {
    **{f"replicate-{key}": (given, ("replicate", *words)) for key, (given, words) in test_replicate.CASES.items()},
    **{f"capacity-{key}": (given, ("capacity", *words)) for key, (given, words) in test_capacity.CASES.items()},
    **{f"enroll-{key}": case for key, case in test_enroll.CASES.items()},
    **{f"verify-{key}": (test_verify.CASES[key][0], ("verify", "--timeout", "0")) for key in ("good", "before")},
    **{f"rollback-{key}": (test_rollback.CASES[key][0], ("rollback",)) for key in ("everything", "original_is_nowhere")},
    **{f"status-{key}": (test_status.CASES[key], ("status",)) for key in ("plain", "drift")},
    "preflight": (test_preflight.CASES["findings"], ("preflight",)),
    "shift-plan": (fast, ("shift",)),
    "shift-arrived": (fast, ("shift", "--yes")),
    "shift-went-back": (turning_bad, ("shift", "--yes")),
    "capacity-stateful": (stateful, ("capacity", "--yes")),
    "rollback-without-a-record": (without_a_record, ("rollback",)),
    "pause": (lambda project: None, ("pause",)),
    "resume": (lambda project: None, ("resume",)),
}  # fmt: skip


@pytest.mark.wide(24)
@pytest.mark.parametrize("case", CASES)
def test_a_command_asks_for_no_more_than_the_page_gives_it(project: Project, case: str) -> None:
    given, words = CASES[case]
    given(project)
    ran(project, words)
    assert missing(project, words) == []


# a case for each right that a role gives to move traffic
USED = {
    "create virtualservices": "enroll-done",
    "patch virtualservices": "rollback-everything",
    "delete virtualservices": "enroll-unenroll",
    "create serviceentries": "enroll-done",
    "patch serviceentries": "enroll-finish",
    "delete serviceentries": "enroll-unenroll",
    "create destinationrules": "enroll-update",
    "patch destinationrules": "enroll-finish",
    "create gateways": "enroll-done",
    "patch gateways": "enroll-update",
    "patch horizontalpodautoscalers": "capacity-apply",
    "patch deployments": "capacity-apply",
    "patch statefulsets": "capacity-stateful",
}


@pytest.mark.parametrize(
    "right",
    [f"{verb} {resource}" for rule in ROLES["bluegreen-move"] for resource in rule["resources"] for verb in rule["verbs"]],
)
def test_every_right_to_move_traffic_is_used(project: Project, right: str) -> None:
    given, words = CASES[USED[right]]
    given(project)
    ran(project, words)
    assert right in {f"{each.verb} {each.resource}" for server in project.servers.values() for each in server.asked}


def test_every_command_of_the_table_is_tried_here() -> None:
    tried = {max((name for name in GIVEN if set(name.split()) <= set(words)), key=len) for _, words in CASES.values()}
    assert set(GIVEN) - tried == set(ENTRY), "those of the entry are tried below"
    assert {name.split()[0] for name in GIVEN} | {"schema", "completion"} == set(cli.commands)


# -- AWS ------------------------------------------------------------------------------------------------------------------


ENTRY = {
    "entry status": ("entry", "status"),
    "entry adopt": ("entry", "adopt", "--yes"),
    "entry shift": ("entry", "shift", "--force", "--yes"),
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Actions of AWS that are asked for, as IAM names them; moto answers."""
    made: set[str] = set()
    call = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

    def noted(self: Any, operation: str, arguments: Any) -> Any:
        made.add(f"{self.meta.service_model.signing_name}:{operation}")
        return call(self, operation, arguments)

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
    with mock_aws():
        yield made


def zoned(project: Project, calls: set[str], *, by_id: bool, **weights: int) -> None:
    client = boto3.client("route53")
    zone = client.create_hosted_zone(Name=ZONE, CallerReference="1")["HostedZone"]["Id"].rpartition("/")[2]
    project.edge.write_text(f"{EDGE}  bluegreen:zone: {ZONE}\n  bluegreen:zoneId: {zone}\n  bluegreen:hosts: {list(HOSTS)}\n")
    records(project, client, **weights)
    if not by_id:
        project.edge.write_text(project.edge.read_text().replace(f"  bluegreen:zoneId: {zone}\n", ""))
    calls.clear()


@pytest.mark.parametrize("command", ENTRY)
def test_the_entrys_commands_use_exactly_what_the_page_gives_them(project: Project, calls: set[str], command: str) -> None:
    zoned(project, calls, by_id=False, **({} if command == "entry adopt" else {"plum": 255, "fern": 0}))
    without_a_record(project)
    words = ENTRY[command]
    assert project.ran(*words).code == 0
    assert missing(project, words) == []
    assert calls == ACTIONS[command]
    wanted = {f"{verb} {each}" for rule in ROLES["bluegreen-record"] for each in rule["resources"] for verb in rule["verbs"]}
    asked = {f"{each.verb} {each.resource}" for server in project.servers.values() for each in server.asked}
    assert asked == (wanted if roles_of(words, "plum") else set())


def test_rollback_of_the_entry_uses_the_actions_that_the_page_gives_it(project: Project, calls: set[str]) -> None:
    zoned(project, calls, by_id=False, plum=0, fern=255)
    project.edge.write_text(project.edge.read_text().replace("{plum: 10000, fern: 0}", "{plum: 0, fern: 10000}"))
    project.unreachable("fern")
    project.ran("rollback")
    assert calls == ACTIONS["rollback"]


def test_a_shift_that_rolls_back_uses_no_other_actions_than_the_page_gives_it(project: Project, calls: set[str]) -> None:
    zoned(project, calls, by_id=False, plum=0, fern=255)
    turning_bad(project)
    assert project.ran("shift", "--yes").code == 4
    assert calls <= ACTIONS["shift"]


def _called(path: Path) -> set[str]:
    """Actions behind what a module calls on clients: methods and paginators that botocore has for the services it names."""
    tree = ast.parse(path.read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    called = texts | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    core = botocore.session.get_session()
    found = set()
    for each in texts & {"eks", "iam", "route53", "sts"}:
        names = core.get_service_model(each).operation_names
        found |= {f"{each}:{name}" for name in names if botocore.xform_name(name) in called}
    return found


def test_the_page_names_exactly_the_actions_that_the_clients_call() -> None:
    called = set().union(
        *(_called(ROOT / path) for path in ("migration/clients/iam.py", "migration/clients/route53.py", "access/eks.py"))
    )
    policies = [json.loads(block.partition("```")[0]) for block in PAGE.split("```json\n")[1:]]
    granted = {action for policy in policies for statement in policy["Statement"] for action in statement["Action"]}
    assert granted | {"sts:GetCallerIdentity"} == called, "of GetCallerIdentity the page says that it needs no permission"
    assert set().union(*ACTIONS.values()) == granted - {"sts:AssumeRole"}


def test_no_other_module_asks_aws() -> None:
    asking = {
        str(path.relative_to(ROOT))
        for package in ("migration", "access")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"(\.client\(|create_client\(|_client\(\")", path.read_text())
    }
    assert asking == {"migration/clients/iam.py", "migration/clients/route53.py", "access/eks.py"}
