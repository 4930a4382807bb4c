"""Preflight names each ServiceAccount whose role of AWS it would not have on green, with what to add; what cannot be read
is unknown, never a pass.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from migration.errors import BluegreenError, ConfigError, Forbidden, NotFound, Unreachable
from migration.model import Finding
from migration.objects import kinds
from migration.objects.classes import Answer
from migration.objects.kinds import Resource
from migration.preflight.run import preflight
from migration.settings.choices import Choices
from tests.fakes.apiserver import FakeApiServer

ACCOUNT = Resource("", "v1", "ServiceAccount", "serviceaccounts", True)
CRON = Resource("batch", "v1", "CronJob", "cronjobs", True)
ROLLOUT = Resource("argoproj.io", "v1alpha1", "Rollout", "rollouts", True)
FLINK = Resource("flink.apache.org", "v1beta1", "FlinkDeployment", "flinkdeployments", True)
SERVED = (*kinds.WELL_KNOWN.values(), ACCOUNT, CRON, ROLLOUT, FLINK)
OLD = "https://oidc.eks.eu-west-1.amazonaws.com/id/0LD0LD0LD0LD"
NEW = "https://oidc.eks.eu-west-1.amazonaws.com/id/NEWNEWNEWNEW"
ROLE = "arn:aws:iam::111122223333:role/uploads"


class FakeAws:
    """IAM and EKS in dictionaries; `closed` is raised by every method."""

    def __init__(
        self,
        trusts: Mapping[str, Any] | None = None,
        providers: Mapping[str, Sequence[str]] | None = None,
        associated: Sequence[str] = (),
        closed: BluegreenError | None = None,
    ) -> None:
        self.trusts, self.providers, self.associated, self.closed = trusts or {}, providers, associated, closed
        self.asked: list[str] = []

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.closed is not None:
            raise self.closed

    async def trust(self, role_arn: str) -> Mapping[str, Any]:
        self._ask(role_arn)
        if role_arn not in self.trusts:
            raise NotFound(role_arn)
        found: Mapping[str, Any] = self.trusts[role_arn]
        return found

    async def audiences(self, provider_arn: str) -> frozenset[str]:
        self._ask(provider_arn)
        if self.providers is None:
            return frozenset({"sts.amazonaws.com"})
        if provider_arn not in self.providers:
            raise NotFound(provider_arn)
        return frozenset(self.providers[provider_arn])

    async def associations(self, cluster: str, region: str) -> frozenset[str]:
        self._ask(f"{cluster} in {region}")
        return frozenset(self.associated)


def account(name: str = "writer", role: str = ROLE, namespace: str = "shop", **meta: Any) -> dict[str, Any]:
    annotations = {"eks.amazonaws.com/role-arn": role, **meta.pop("annotations", {})}
    meta = {"name": name, "namespace": namespace, "annotations": annotations, **meta}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}


def pods_of(name: str = "writer", **more: Any) -> dict[str, Any]:
    return {"serviceAccountName": name, "containers": [{"name": "main", "readinessProbe": {}, **more.pop("main", {})}], **more}


def made(resource: Resource, spec: Any, name: str = "uploads", namespace: str = "shop") -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, "spec": spec}


def workload(**pods: Any) -> dict[str, Any]:
    return made(kinds.DEPLOYMENT, {"replicas": 2, "template": {"spec": pods_of(**pods)}})


def trusting(*issuers: str, sub: str = "system:serviceaccount:shop:writer", role: str = ROLE) -> dict[str, Any]:
    partition, number = role.split(":")[1], role.split(":")[4]
    return {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": f"arn:{partition}:iam::{number}:oidc-provider/{issuer.removeprefix('https://')}"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{issuer.removeprefix('https://')}:sub": sub}},
            }
            for issuer in issuers
        ]
    }


def look(
    blue: list[dict[str, Any]],
    aws: FakeAws | None = None,
    *,
    green: Sequence[Mapping[str, Any]] = (),
    issuers: tuple[str | BluegreenError, str | BluegreenError] = (OLD, NEW),
    choices: Choices | None = None,
    green_keys: frozenset[str] | BluegreenError = frozenset({"key"}),
    **fake: Any,
) -> list[Finding]:
    one = FakeApiServer("plum", blue, resources=SERVED, issuer=issuers[0], **fake)
    other = FakeApiServer("fern", green, resources=SERVED, issuer=issuers[1], keys=green_keys)
    found = asyncio.run(preflight(one, other, aws=aws, choices=choices))
    assert one.writes() == other.writes() == []
    return [finding for finding in found if finding.code.startswith("BG6") or "BG6" in finding.evidence]


def told(findings: list[Finding]) -> list[tuple[str, str, str, str]]:
    return [(f.code, f.severity.value, f.status, f.object) for f in findings]


HOLDS = [("BG601", "blocking", "fail", "ServiceAccount shop/writer")]
UNKNOWN = [("BG601", "blocking", "unknown", "ServiceAccount shop/writer")]


def added(finding: Finding) -> Any:
    """The statement that a remedy names, up to what follows it."""
    return json.JSONDecoder().raw_decode(finding.remedy[finding.remedy.index("{") :])[0]


def test_the_remedy_of_a_role_that_trusts_blue_alone_is_the_statement_that_it_lacks() -> None:
    (found,) = look([account(), workload()], FakeAws({ROLE: trusting(OLD)}))
    assert told([found]) == HOLDS
    assert ROLE in found.evidence
    assert NEW in found.evidence
    assert f"trust policy of {ROLE}" in found.remedy
    bare = NEW.removeprefix("https://")
    assert added(found) == {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::111122223333:oidc-provider/{bare}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{bare}:sub": "system:serviceaccount:shop:writer", f"{bare}:aud": "sts.amazonaws.com"}},
    }
    mended = {"Statement": [*trusting(OLD)["Statement"], added(found)]}
    assert look([account(), workload()], FakeAws({ROLE: mended})) == [], "what was to be added is enough"


def test_a_role_that_trusts_both_clusters_is_no_finding() -> None:
    assert look([account(), workload()], FakeAws({ROLE: trusting(OLD, NEW)})) == []


def test_clusters_of_one_issuer_need_no_look_at_aws() -> None:
    aws = FakeAws({ROLE: trusting(OLD)})
    assert look([account(), workload()], aws, issuers=(OLD, OLD)) == []
    assert aws.asked == []


@pytest.mark.parametrize(
    ("keys", "status"), [(frozenset({"other"}), "fail"), (Forbidden("no"), "unknown")], ids=["other keys", "unread keys"]
)
def test_one_name_for_two_clusters_is_no_proof_that_aws_accepts_the_tokens_of_both(keys: Any, status: str) -> None:
    (found,) = look([account(), workload()], issuers=(OLD, OLD), green_keys=keys)
    assert told([found]) == [("BG601", "blocking", status, "ServiceAccount shop/writer")]
    assert "both clusters have the issuer" in found.evidence
    assert added(found)["Action"] == "sts:AssumeRoleWithWebIdentity"


def test_aws_is_not_asked_where_blue_has_no_identity_of_aws() -> None:
    aws = FakeAws()
    closed = Unreachable("must not be asked")
    assert look([workload()], aws, issuers=(closed, closed)) == []
    assert aws.asked == []


def test_green_alone_without_an_issuer_is_unknown_though_the_role_could_be_read() -> None:
    refused = Forbidden("user may not get /.well-known/openid-configuration")
    (found,) = look([account(), workload()], FakeAws({ROLE: trusting(OLD)}), issuers=(OLD, refused))
    assert told([found]) == UNKNOWN
    assert "/.well-known/openid-configuration" in found.evidence
    assert "ISSUER" in json.dumps(added(found))
    assert "pulumi stack output oidcIssuer" in found.remedy


def test_both_issuers_unread_are_not_the_same_issuer() -> None:
    refused = Forbidden("no")
    assert told(look([account(), workload()], FakeAws({ROLE: trusting(OLD)}), issuers=(refused, refused))) == UNKNOWN


def test_blues_issuer_is_not_needed_to_judge_a_role() -> None:
    aws = FakeAws({ROLE: trusting(NEW)})
    assert look([account(), workload()], aws, issuers=(Forbidden("no"), NEW)) == []


@pytest.mark.parametrize(
    "aws",
    [
        pytest.param(None, id="AWS is not to be asked"),
        pytest.param(FakeAws(closed=Forbidden("AccessDenied: iam:GetRole")), id="access denied"),
        pytest.param(FakeAws(closed=Unreachable("does not answer")), id="no answer"),
        pytest.param(FakeAws(closed=ConfigError("no credentials")), id="no credentials"),
    ],
)
def test_a_trust_policy_that_cannot_be_read_is_unknown_with_the_statement_to_add(aws: FakeAws | None) -> None:
    (found,) = look([account(), workload()], aws)
    assert told([found]) == UNKNOWN
    assert "could not be read" in found.evidence
    assert added(found)["Principal"]["Federated"].endswith(NEW.removeprefix("https://"))


def test_a_condition_that_cannot_be_judged_is_unknown() -> None:
    policy = trusting(NEW)
    policy["Statement"][0]["Condition"]["IpAddress"] = {"aws:SourceIp": "203.0.113.0/24"}
    (found,) = look([account(), workload()], FakeAws({ROLE: policy}))
    assert told([found]) == UNKNOWN


def test_a_role_that_is_gone_blocks() -> None:
    (found,) = look([account(), workload()], FakeAws())
    assert told([found]) == HOLDS
    assert "no such role" in found.evidence


def test_what_is_no_arn_cannot_be_looked_up() -> None:
    aws = FakeAws()
    (found,) = look([account(role="uploads-role"), workload()], aws)
    assert told([found]) == UNKNOWN
    assert "'uploads-role' is no ARN" in found.evidence
    assert aws.asked == []


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
def test_the_statement_is_of_the_roles_own_partition_and_account(partition: str) -> None:
    role = f"arn:{partition}:iam::444455556666:role/team/path/uploads"
    (found,) = look([account(role=role), workload()], FakeAws({role: trusting(OLD, role=role)}))
    assert added(found)["Principal"]["Federated"].startswith(f"arn:{partition}:iam::444455556666:oidc-provider/oidc.eks.")


def test_a_provider_of_another_account_does_not_count() -> None:
    elsewhere = trusting(NEW, role="arn:aws:iam::999999999999:role/other")
    assert told(look([account(), workload()], FakeAws({ROLE: elsewhere}))) == HOLDS


def test_an_audience_of_the_accounts_own_is_what_the_statement_asks_for() -> None:
    own = account(annotations={"eks.amazonaws.com/audience": "vault"})
    (found,) = look([own, workload()], FakeAws({ROLE: trusting(OLD)}))
    assert added(found)["Condition"]["StringEquals"][f"{NEW.removeprefix('https://')}:aud"] == "vault"


@pytest.mark.parametrize(
    "naming",
    [
        pytest.param(workload(), id="a deployment"),
        pytest.param(made(kinds.POD, pods_of()), id="a pod"),
        pytest.param(made(CRON, {"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": pods_of()}}}}), id="cron"),
        pytest.param(made(ROLLOUT, {"template": {"spec": pods_of()}}), id="a custom kind with pods"),
        pytest.param(made(FLINK, {"serviceAccount": "writer", "image": "a"}), id="a custom kind whose operator makes pods"),
    ],
)
def test_what_runs_under_an_account_makes_its_role_needed(naming: dict[str, Any]) -> None:
    assert told(look([account(), naming], FakeAws({ROLE: trusting(OLD)}))) == HOLDS


def test_an_account_that_nothing_names_is_only_information() -> None:
    other = made(FLINK, {"serviceAccount": "writer"}, namespace="elsewhere")
    (found,) = look([account(), workload(name="other"), other], FakeAws({ROLE: trusting(OLD)}))
    assert told([found]) == [("BG601", "info", "fail", "ServiceAccount shop/writer")]
    assert "nothing on blue runs under it" in found.evidence


def test_the_default_account_is_used_by_pods_that_name_none() -> None:
    plain = workload()
    del plain["spec"]["template"]["spec"]["serviceAccountName"]
    (found,) = look([account("default"), plain], FakeAws({ROLE: trusting(OLD)}))
    assert told([found]) == [("BG601", "blocking", "fail", "ServiceAccount shop/default")]


def test_an_account_is_taken_for_used_where_it_could_not_be_read_what_there_is() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if (verb, resource.name) == ("list", "rollouts.argoproj.io"):
            raise Forbidden("no")

    assert told(look([account()], FakeAws({ROLE: trusting(OLD)}), trouble=trouble)) == HOLDS


def test_accounts_that_cannot_be_listed_are_unknown() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if resource.name == "serviceaccounts":
            raise Forbidden("no")

    found = look([account(), workload()], FakeAws({ROLE: trusting(OLD)}), trouble=trouble)
    (hidden,) = [each for each in found if each.object == "serviceaccounts"]
    assert (hidden.severity, hidden.status, "BG601" in hidden.evidence) == ("blocking", "unknown", True)


@pytest.mark.parametrize(
    ("blue", "choices"),
    [
        pytest.param(account(namespace="kube-system"), None, id="the baseline's own"),
        pytest.param(account(), Choices(answers={"ServiceAccount shop/writer": Answer.SKIP}), id="left out by a person"),
        pytest.param(account(deletionTimestamp="2026-01-01T00:00:00Z"), None, id="being deleted"),
        pytest.param(account(role=""), None, id="an empty annotation"),
    ],
)
def test_accounts_that_do_not_come_are_not_judged(blue: dict[str, Any], choices: Choices | None) -> None:
    aws = FakeAws({ROLE: trusting(OLD)})
    assert look([blue, workload()], aws, choices=choices) == []
    assert aws.asked == []


def test_what_gitops_brings_to_green_brings_its_role_along() -> None:
    flux = account(labels={"kustomize.toolkit.fluxcd.io/name": "apps"})
    assert told(look([flux, workload()], FakeAws({ROLE: trusting(OLD)}))) == HOLDS


def test_a_role_that_green_has_of_its_own_is_the_one_that_counts() -> None:
    own = "arn:aws:iam::111122223333:role/uploads-fern"
    aws = FakeAws({ROLE: trusting(OLD), own: trusting(NEW)})
    by_hand = account(role=own, managedFields=[{"manager": "helm", "operation": "Update"}])
    assert look([account(), workload()], aws, green=[by_hand]) == []
    ours = account(role=own, managedFields=[{"manager": kinds.REPLICATE, "operation": "Apply"}])
    assert told(look([account(), workload()], aws, green=[ours])) == HOLDS, "what replicate wrote, it will write anew"


def test_a_pod_that_asks_by_a_token_of_its_own_needs_its_role_as_well() -> None:
    env = [{"name": "AWS_ROLE_ARN", "value": ROLE}, {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/token/aws"}]
    volume = {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"audience": "sts.amazonaws.com"}}]}}
    spec = workload(main={"env": env}, volumes=[volume])
    assert told(look([spec], FakeAws({ROLE: trusting(OLD)}))) == HOLDS


def test_a_role_of_several_accounts_is_read_once() -> None:
    aws = FakeAws({ROLE: trusting(OLD)})
    found = look([account(), account("reader"), workload(), made(kinds.POD, pods_of("reader"), "r")], aws)
    assert [f.object for f in found] == ["ServiceAccount shop/reader", "ServiceAccount shop/writer"]
    assert aws.asked == [ROLE, PROVIDER]


PROVIDER = f"arn:aws:iam::111122223333:oidc-provider/{NEW.removeprefix('https://')}"


def test_a_trusted_issuer_without_a_provider_in_the_account_blocks() -> None:
    (found,) = look([account(), workload()], FakeAws({ROLE: trusting(OLD, NEW)}, providers={}))
    assert told([found]) == [("BG603", "blocking", "fail", PROVIDER)]
    assert "ServiceAccount shop/writer" in found.evidence
    assert found.remedy == f"aws iam create-open-id-connect-provider --url {NEW} --client-id-list sts.amazonaws.com"


def test_a_role_without_the_statement_is_reported_with_the_provider_it_lacks_too() -> None:
    (found,) = look([account(), workload()], FakeAws({ROLE: trusting(OLD)}, providers={}))
    assert told([found]) == HOLDS
    assert "create-open-id-connect-provider" in found.remedy


def test_a_provider_without_the_audience_of_the_tokens_blocks() -> None:
    (found,) = look([account(), workload()], FakeAws({ROLE: trusting(NEW)}, providers={PROVIDER: ["other"]}))
    assert told([found]) == [("BG603", "blocking", "fail", PROVIDER)]
    assert "add-client-id-to-open-id-connect-provider" in found.remedy


AGENT = [{"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": "http://169.254.170.23/v1/credentials"}]
BY_AGENT = made(kinds.POD, pods_of(main={"env": AGENT}))
PLAIN_ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "writer", "namespace": "shop"}}


@pytest.mark.parametrize(
    ("aws", "status"), [(FakeAws(), "fail"), (None, "unknown"), (FakeAws(closed=Forbidden("no")), "unknown")]
)
def test_a_pod_identity_association_of_blue_has_to_be_made_on_green(aws: FakeAws | None, status: str) -> None:
    (found,) = look([PLAIN_ACCOUNT, BY_AGENT], aws)
    assert told([found]) == [("BG602", "blocking", status, "ServiceAccount shop/writer")]
    assert found.remedy.startswith(
        "aws eks create-pod-identity-association --cluster-name fern --namespace shop --service-account writer --role-arn "
    )
    assert "--cluster-name plum" in found.remedy


def test_an_association_that_green_has_is_no_finding() -> None:
    aws = FakeAws(associated=["shop/writer"])
    assert look([PLAIN_ACCOUNT, BY_AGENT], aws) == []
    assert aws.asked == ["fern in eu-west-1"], "the region is that of green's issuer"
    assert look([PLAIN_ACCOUNT, BY_AGENT], None, green=[BY_AGENT]) == [], "a pod of green's that has its role proves it"


def test_a_credential_server_of_other_kinds_is_no_pod_identity() -> None:
    env = [{"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": "http://localhost:9911/creds"}]
    assert look([PLAIN_ACCOUNT, made(kinds.POD, pods_of(main={"env": env}))]) == []
