"""What `replicate` prints: a person must know from it what will be written, what will not, and what to do."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from migration.errors import Forbidden, Rejected
from migration.objects.kinds import Resource
from tests.fakes.golden import same
from tests.fakes.project import Project, Ran
from tests.unit.golden.things import (
    CLUSTER_ROLE,
    CRON_JOB,
    WIDGET,
    both,
    config,
    deployment,
    endpoints,
    namespace,
    public,
    put,
    secret,
    serve,
    service,
    take,
    thing,
)

CANARY = "correct-horse"
LONG = "postgres://shop:hunter2@db.example.com/shop?" + "&".join(f"option{n}=value{n}" for n in range(12))
ENV = [{"name": f"V{n}", "value": str(n)} for n in range(12)]


def first(project: Project) -> None:
    """Green is empty but for what the edge made."""
    serve(project)
    put(project, "plum", namespace(), *(config(f"settings-{n:02}", a="b") for n in range(15)))
    put(project, "plum", config("site", greeting="hello"), secret("login", user="shop", password=CANARY))
    put(project, "plum", deployment("cart"), service("cart"), endpoints("cart"), deployment("web", env=ENV))
    put(project, "plum", thing(CLUSTER_ROLE, "reader", None, rules=[]))
    job = {"template": {"spec": {"containers": [{"name": "c", "image": "c"}]}}}
    put(
        project,
        "plum",
        thing(CRON_JOB, "nightly", spec={"schedule": "0 3 * * *", "jobTemplate": {"spec": job}}),
    )
    put(project, "plum", deployment("dns", image="registry.k8s.io/external-dns/external-dns:v0.15.0"))
    put(
        project,
        "plum",
        deployment("mailer", env=[{"name": "QUEUE_URL", "value": "https://sqs.eu-west-1.amazonaws.com/1/mail"}]),
    )
    project.configure("singletons: [shop/web]\n")


def answered(project: Project) -> None:
    """All of it is on green, and blue has changed since."""
    first(project)
    take(project, "plum", "Deployment", "shop/dns")
    take(project, "plum", "Deployment", "shop/mailer")
    project.configure()
    put(project, "plum", config("theirs", a="blue's"))
    assert project.ran("replicate", "--yes").code == 0
    put(project, "plum", secret("login", user="shop", password=f"{CANARY}-again", pin="1"))
    put(project, "plum", config("site", greeting="good day", database=LONG, api_token=CANARY, flag="true"))
    put(project, "plum", config("settings-03", a="c"))
    changed = [{**each, "value": f"{n}0"} for n, each in enumerate(ENV)]
    changed[0] = {"name": "DB_PASSWORD", "value": CANARY}
    put(project, "plum", deployment("web", 3, image="shop:2", env=changed, args=[f"--token={CANARY}", "--verbose"]))
    put(project, "plum", config("new", a="b"))
    edited = project.servers["fern"].objects["", "ConfigMap", "shop", "theirs"]
    edited["data"]["a"] = "green's"
    edited["metadata"]["managedFields"].append(
        {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}, "time": "t999999"}
    )


def rewritten(project: Project) -> None:
    """Blue's kubeconfig leads to another cluster: the same names, other content."""
    serve(project)
    put(project, "plum", namespace(), deployment("web"), *(config(f"settings-{n:02}", a="b") for n in range(15)))
    assert project.ran("replicate", "--yes").code == 0
    put(project, "plum", deployment("web", image="staging:1"), *(config(f"settings-{n:02}", a="staging") for n in range(9)))


def unread(project: Project) -> None:
    serve(project)
    put(project, "plum", namespace(), deployment("cart"))
    project.closed = {("plum", "ConfigMap"), ("plum", "Secret")}


def unserved(project: Project) -> None:
    serve(project, only_blue=(WIDGET,))
    put(project, "plum", namespace(), config("site", a="b"), thing(WIDGET, "w", spec={}))


def refused(project: Project) -> None:
    put(project, "plum", namespace(), config("site", a="b"), config("large", a="b"), service("cart"))

    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb in ("create", "apply") and name == "site":
            raise Rejected('admission webhook "labels.example.com" denied the request: label team is missing')
        if verb in ("create", "apply") and name == "cart" and resource.kind == "Service":
            raise Forbidden("services is forbidden")

    project.servers["fern"].trouble = trouble


def part(project: Project) -> None:
    """One service that is not enrolled, and what it needs."""
    route = project.originals["shop/cart"]
    web = {**route, "metadata": {"name": "web", "namespace": "shop"}, "spec": {**route["spec"], "hosts": ["web.test"]}}
    web["spec"]["http"] = [{"route": [{"destination": {"host": "web.shop.svc.cluster.local"}}]}]
    mounted = [{"configMapRef": {"name": "site"}}]
    put(project, "plum", namespace(), web, service("web"), deployment("web", envFrom=mounted), config("site", a="b"))
    put(project, "plum", config("other", a="b"))
    both(project, public())


CASES: dict[str, tuple[Callable[[Project], None], tuple[str, ...]]] = {
    "first": (first, ()),
    "first-full": (first, ("--full",)),
    "first-apply": (first, ("--yes",)),
    "update": (answered, ()),
    "update-full": (answered, ("--full",)),
    "update-apply": (answered, ("--yes",)),
    "rewritten": (rewritten, ()),
    "rewritten-apply": (rewritten, ("--yes",)),
    "rewritten-force": (rewritten, ("--yes", "--force")),
    "unread": (unread, ()),
    "unread-apply": (unread, ("--yes",)),
    "unread-despite": (unread, ("--yes", "--despite-unread", "all")),
    "unread-misspelt": (unread, ("--yes", "--despite-unread", "confgmaps")),
    "unserved": (unserved, ("--yes",)),
    "refused": (refused, ("--yes",)),
    "part": (part, ("shop/web",)),
    "misspelt": (part, ("shop/wbe",)),
    "explain": (first, ("--explain", "CronJob/shop/nightly")),
    "explain-answer": (first, ("--explain", "Deployment/shop/dns")),
    "explain-kind": (first, ("--explain", "EndpointSlice/shop/cart-1")),
    "explain-misspelt": (first, ("--explain", "CronJob/shop/nightyl")),
    "explain-no-kind": (first, ("--explain", "Gadget/shop/x")),
    "classes": (first, ("--explain", "classes")),
}


@pytest.mark.parametrize("case", CASES)
def test_text(project: Project, case: str) -> None:
    given, words = CASES[case]
    given(project)
    same(f"replicate-{case}.txt", no_secret(project.ran("replicate", *words)), project)


@pytest.mark.parametrize("case", [case for case in CASES if not case.endswith("-full")])
def test_json(project: Project, case: str) -> None:
    given, words = CASES[case]
    given(project)
    same(f"replicate-{case}.json", no_secret(project.ran("--json", "replicate", *words)), project)


def no_secret(ran: Ran) -> Ran:
    for value in (CANARY, "hunter2"):
        assert value not in ran.out + ran.err
        assert base64.b64encode(value.encode()).decode()[:8] not in ran.out + ran.err
    return ran


def done(project: Project) -> None:
    answered(project)
    assert project.ran("replicate", "--yes", "--force").code == 0


def test_a_second_run_with_nothing_to_do_says_so(project: Project) -> None:
    done(project)
    same("replicate-nothing.txt", project.ran("replicate", "--yes"), project)


@pytest.mark.parametrize("form", ["txt", "json"])
def test_a_plan_with_nothing_to_do_asks_for_nothing(project: Project, form: str) -> None:
    done(project)
    writes = [server.writes() for server in project.servers.values()]
    words = ("--json", "replicate") if form == "json" else ("replicate",)
    same(f"replicate-nothing-plan.{form}", project.ran(*words), project)
    assert [server.writes() for server in project.servers.values()] == writes


@pytest.mark.parametrize("lacking", ["unanswered", "unread", "held"])
def test_a_plan_with_nothing_to_write_that_lacks_something_is_not_done(project: Project, lacking: str) -> None:
    """What waits for an answer, cannot be read or is held: exit 3, with and without --yes."""
    done(project)
    if lacking == "unanswered":
        first(project)
        project.ran("replicate", "--yes")
    elif lacking == "unread":
        project.closed = {("plum", "Secret")}
    else:
        project.servers["fern"].objects["", "Namespace", "", "shop"]["metadata"]["deletionTimestamp"] = "2026-08-24T03:04:05Z"
    document = project.run("replicate")[1]
    assert document["counts"]["create"] + document["counts"]["update"] == 0
    assert document["error"]["exit_code"] == 3
