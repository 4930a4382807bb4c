"""Whether AWS would give green's ServiceAccounts their roles: real API servers tell their issuers, moto plays IAM, and the
command's own remedies are what makes it good.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.lab.support import command
from tests.lab.support.away import remove_namespaces
from tests.lab.support.bare import Bare, write_migration

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

SPACE = "identities"
LABELS = {"app": "uploads"}
ACTION = "sts:AssumeRoleWithWebIdentity"


@pytest.fixture
def aws() -> Iterator[dict[str, str]]:
    """The environment in which AWS is a moto of this test's own."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
    finally:
        server.stop()


@pytest.fixture
def uploads(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    """A Deployment of blue whose ServiceAccount has a role; nothing of it stays."""
    blue = pair[0]
    meta = {"name": "uploads", "namespace": SPACE}
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/uploads"}
    pod = {"serviceAccountName": "uploads", "containers": [{"name": "main", "image": "example.test/uploads:1"}]}
    spec = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}, "spec": pod}}
    items = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**meta, "annotations": role}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
    ]
    try:
        blue.kubectl("create", "namespace", SPACE)
        blue.kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        yield pair
    finally:
        remove_namespaces(pair, SPACE)


def findings(folder: Path, pair: tuple[Bare, Bare], environment: dict[str, str]) -> list[dict[str, Any]]:
    write_migration(folder, pair, SPACE)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    words = ("--config", str(folder / "migration.yaml"), "--json", "preflight")
    output, _ = command.ended(command.start(*words, env={**kept, **nowhere, **environment}), (0, 3))
    return [each for each in json.loads(output)["findings"] if each["code"].startswith("BG6")]


def issuer(bare: Bare) -> str:
    told: str = json.loads(bare.kubectl("get", "--raw", "/.well-known/openid-configuration"))["issuer"]
    return told


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def test_a_role_that_trusts_blue_alone_is_reported_until_its_remedy_is_applied(
    uploads: tuple[Bare, Bare], aws: dict[str, str], tmp_path: Path
) -> None:
    mine, theirs = (issuer(bare).removeprefix("https://") for bare in uploads)
    assert mine != theirs
    iam = boto3.client(
        "iam",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    provider = f"arn:aws:iam::123456789012:oidc-provider/{mine}"
    of_blue = {"Effect": "Allow", "Principal": {"Federated": provider}, "Action": ACTION}
    iam.create_role(RoleName="uploads", AssumeRolePolicyDocument=policy(of_blue))

    (unread,) = findings(tmp_path, uploads, {})
    assert (unread["code"], unread["status"], unread["object"]) == ("BG601", "unknown", "ServiceAccount identities/uploads")
    assert "no AWS credentials" in unread["evidence"]

    (found,) = findings(tmp_path, uploads, aws)
    assert (found["code"], found["status"], found["severity"]) == ("BG601", "fail", "blocking")
    to_add = json.JSONDecoder().raw_decode(found["remedy"][found["remedy"].index("{") :])[0]
    assert unread["remedy"].endswith(json.dumps(to_add)), "what to add is told as well where nothing could be read"
    assert to_add["Condition"]["StringEquals"][f"{theirs}:sub"] == "system:serviceaccount:identities:uploads"

    iam.update_assume_role_policy(RoleName="uploads", PolicyDocument=policy(of_blue, to_add))
    (lacking,) = findings(tmp_path, uploads, aws)
    assert (lacking["code"], lacking["object"]) == ("BG603", f"arn:aws:iam::123456789012:oidc-provider/{theirs}")

    iam.create_open_id_connect_provider(Url=f"https://{theirs}", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["a" * 40])
    assert findings(tmp_path, uploads, aws) == []
    iam.close()
