"""The token of an EKS cluster, made here where the program that a kubeconfig names for it is not installed.

A token is `k8s-aws-v1.` and, in base64 for URLs without padding, a presigned GET of STS GetCallerIdentity with the header
x-k8s-aws-id, whose value is the cluster's name; the cluster asks STS by it who we are. AWS takes it for 15 minutes after
its date whatever its own 60 s say. As `aws eks get-token` (awscli/customizations/eks/get_token.py) and `aws-iam-authenticator
token` (pkg/token/token.go) make it; the STS is that of the region (`--region`, AWS_REGION, AWS_DEFAULT_REGION, the profile's),
and the partition's global one where there is no region.

Runs as a process of its own, `python -m access.eks aws eks get-token ...`: so the environment of `exec` counts for it, and
the time limit of credential programs, whatever botocore waits for. Of a machine's own role (IMDS) it asks last and shortly.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

PREFIX = "k8s-aws-v1."
HEADER = "x-k8s-aws-id"
URL_SECONDS = 60
TOKEN_SECONDS = 14 * 60
SHORTLY = {"AWS_METADATA_SERVICE_TIMEOUT": "1", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "1"}
SESSION = "EKSGetTokenAuth"
# option -> field of Asked; empty: it changes nothing of the token
AWS = {
    "--cluster-name": "cluster", "--cluster-id": "cluster", "--region": "region", "--profile": "profile",
    "--role-arn": "role", "--output": "output", "--no-cli-pager": "", "--no-cli-auto-prompt": "",
}  # fmt: skip
AUTHENTICATOR = {
    "-i": "cluster", "--cluster-id": "cluster", "-r": "role", "--role": "role", "--region": "region",
    "-s": "session", "--session-name": "session", "-e": "external", "--external-id": "external", "--cache": "",
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What a command line asks for. Empty texts: not given."""

    cluster: str = ""
    region: str = ""
    profile: str = ""
    role: str = ""
    session: str = ""
    external: str = ""
    output: str = ""


class NoToken(Exception):
    """Why there is none."""


def parse(command: Sequence[str], environment: Mapping[str, str]) -> Asked | None:
    """None: something else than a token of EKS, or by an option that is not known here."""
    name, *rest = command
    name = PurePath(name).name
    if name == "aws":
        options, words = AWS, ["eks", "get-token"]
    elif name == "aws-iam-authenticator":
        options, words = AUTHENTICATOR, ["token"]
    else:
        return None
    values: dict[str, str] = {}
    left = list(rest)
    while left:
        part = left.pop(0)
        option, equals, value = part.partition("=")
        if option not in options:
            if not words or part != words.pop(0):
                return None
            continue
        if not (field := options[option]):
            continue
        if not equals:
            if not left:
                return None
            value = left.pop(0)
        if field in values:
            return None
        values[field] = value
    if words or values.get("output", "json") != "json":
        return None
    if name != "aws":
        values.setdefault("role", environment.get("DEFAULT_ROLE", ""))
        values.setdefault("cluster", environment.get("KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID", ""))
    asked = Asked(**values)
    return asked if asked.cluster else None


def understands(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether `command` asks for a token of EKS, by options that are known here."""
    return parse(command, environment) is not None


def program(command: Sequence[str], environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The process that makes the token in place of `command`; -P: nothing is imported from the working folder."""
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH", ""))))
    return [sys.executable, "-P", "-m", "access.eks", *command], {**SHORTLY, **environment, "PYTHONPATH": path}


def token(asked: Asked, environment: Mapping[str, str]) -> str:
    """By the credentials that botocore finds: environment, profile, web identity, container, IMDS.

    Raises:
        NoToken: there are no credentials, or STS refuses the role.
    """
    import botocore.exceptions
    import botocore.session
    from botocore.config import Config

    try:
        session = botocore.session.Session(profile=asked.profile or None)
        region = asked.region or environment.get("AWS_REGION") or session.get_config_variable("region") or None
        config = Config(connect_timeout=4, read_timeout=4, retries={"total_max_attempts": 2})
        if session.get_credentials() is None:
            raise NoToken("no credentials of AWS were found in the environment, profiles or this machine's role")
        client: Any = session.create_client("sts", region_name=region, config=config)
        if asked.role:
            role: dict[str, Any] = {"RoleArn": asked.role, "RoleSessionName": asked.session or SESSION}
            if asked.external:
                role["ExternalId"] = asked.external
            got = client.assume_role(**role)["Credentials"]
            client = session.create_client(
                "sts",
                region_name=region,
                config=config,
                aws_access_key_id=got["AccessKeyId"],
                aws_secret_access_key=got["SecretAccessKey"],
                aws_session_token=got["SessionToken"],
            )
        return PREFIX + base64.urlsafe_b64encode(_presigned(client, asked.cluster).encode()).decode().rstrip("=")
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError, ValueError) as problem:
        raise NoToken(str(problem) or type(problem).__name__) from problem


def _presigned(client: Any, cluster: str) -> str:
    def add(request: Any, **_: Any) -> None:
        request.headers[HEADER] = cluster

    client.meta.events.register("before-sign.sts.GetCallerIdentity", add)
    url: str = client.generate_presigned_url("get_caller_identity", Params={}, ExpiresIn=URL_SECONDS, HttpMethod="GET")
    return url


def main(command: Sequence[str]) -> int:
    """Prints an ExecCredential as the programs do, or why there is none."""
    os.environ.setdefault("AWS_STS_REGIONAL_ENDPOINTS", "regional")
    asked = parse(command, os.environ)
    if asked is None:
        sys.stderr.write(f"not understood: {' '.join(command)}\n")
        return 2
    try:
        bearer_token = token(asked, os.environ)
    except NoToken as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + TOKEN_SECONDS))
    version = "client.authentication.k8s.io/v1"
    status = {"expirationTimestamp": expires, "token": bearer_token}
    sys.stdout.write(json.dumps({"kind": "ExecCredential", "apiVersion": version, "spec": {}, "status": status}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
