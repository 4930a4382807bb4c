"""Tokens of EKS made without the AWS CLI: the same URL, signed as STS checks it, and only where every option is understood."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from access import eks
from access.errors import NotGiven
from access.exec_plugin import Given, ask
from access.kubeconfig import Access, Exec

PLUM = Access("plum", "https://x", "the-kubeconfig")
BY_AWS = ("--region", "eu-west-1", "eks", "get-token", "--cluster-name", "plum-1", "--output", "json")
# what aws-iam-authenticator lets a token's URL have (pkg/token/token.go, parameterWhitelist); Security-Token beside it
ALLOWED = {"Action", "Version", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> pytest.MonkeyPatch:
    """No program on PATH, and nothing of AWS in the environment but keys."""
    import os

    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    empty = tmp_path_factory.mktemp("empty")
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setenv("HOME", str(empty))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    return monkeypatch


def made(*arguments: str, command: str = "aws", **env: str) -> Given:
    return asyncio.run(ask(PLUM, Exec(command, arguments, env), timeout_seconds=100))


def url_of(given: Given) -> str:
    token = given.token or ""
    assert token.startswith("k8s-aws-v1.")
    text = token.removeprefix("k8s-aws-v1.")
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


def signature(url: str, cluster: str, secret: str) -> str:
    """By AWS' own description of Signature Version 4, from nothing but the URL: what STS reckons."""
    parts = urlsplit(url)
    query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
    query.pop("X-Amz-Signature")
    canonical = "&".join(f"{quote(key, safe='-_.~')}={quote(query[key], safe='-_.~')}" for key in sorted(query))
    headers = f"host:{parts.netloc}\nx-k8s-aws-id:{cluster}\n"
    request = "\n".join(["GET", "/", canonical, headers, query["X-Amz-SignedHeaders"], hashlib.sha256(b"").hexdigest()])
    scope = query["X-Amz-Credential"].split("/", 1)[1]
    text = "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def test_a_token_is_what_the_programs_make(bare: pytest.MonkeyPatch) -> None:
    given = made(*BY_AWS)
    parts = urlsplit(url_of(given))
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "sts.eu-west-1.amazonaws.com", "/")
    assert set(query) == ALLOWED | {"X-Amz-Signature"}
    assert (query["Action"], query["Version"], query["X-Amz-Expires"]) == ("GetCallerIdentity", "2011-06-15", "60")
    assert query["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id"
    assert query["X-Amz-Credential"].split("/")[0] == "AKIDEXAMPLE"
    assert query["X-Amz-Credential"].split("/")[2:] == ["eu-west-1", "sts", "aws4_request"]
    assert query["X-Amz-Signature"] == signature(url_of(given), "plum-1", "wJalrXUtnFEMI")
    assert abs(given.until - time.time() - 13 * 60) < 30, "14 minutes, and a minute to spare"


@pytest.mark.parametrize(
    ("command", "arguments", "env", "host"),
    [
        pytest.param("aws", BY_AWS[2:], {"AWS_REGION": "eu-west-2"}, "sts.eu-west-2.amazonaws.com", id="region of exec's env"),
        pytest.param("aws", BY_AWS[2:], {"AWS_DEFAULT_REGION": "us-east-1"}, "sts.us-east-1.amazonaws.com", id="a default"),
        pytest.param("aws", BY_AWS[2:], {}, "sts.amazonaws.com", id="none"),
        pytest.param("/gone/aws", BY_AWS, {}, "sts.eu-west-1.amazonaws.com", id="a path that is gone"),
        pytest.param(
            "aws", ("eks", "get-token", "--cluster-id=plum-1", "--region=cn-north-1"), {}, "sts.cn-north-1.amazonaws.com.cn",
            id="China",
        ),
        pytest.param("aws-iam-authenticator", ("token", "-i", "plum-1"), {}, "sts.amazonaws.com", id="the authenticator"),
    ],
)  # fmt: skip
def test_the_sts_is_that_of_the_region(
    bare: pytest.MonkeyPatch, command: str, arguments: tuple[str, ...], env: dict[str, str], host: str
) -> None:
    url = url_of(made(*arguments, command=command, **env))
    assert urlsplit(url).netloc == host
    assert parse_qs(urlsplit(url).query)["X-Amz-Signature"] == [signature(url, "plum-1", "wJalrXUtnFEMI")]


def test_the_environment_of_exec_says_who_we_are(bare: pytest.MonkeyPatch) -> None:
    given = made(*BY_AWS, AWS_ACCESS_KEY_ID="AKIDOTHER", AWS_SESSION_TOKEN="session")
    query = parse_qs(urlsplit(url_of(given)).query)
    assert query["X-Amz-Credential"][0].startswith("AKIDOTHER/")
    assert query["X-Amz-Security-Token"] == ["session"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("aws", *BY_AWS), eks.Asked("plum-1", "eu-west-1", output="json")),
        (("/usr/bin/aws", "eks", "get-token", "--cluster-name=c", "--role-arn", "r", "--profile", "p"),
         eks.Asked("c", profile="p", role="r")),
        (("aws-iam-authenticator", "token", "-i", "c", "-r", "r", "-e", "e", "-s", "s", "--region", "g", "--cache"),
         eks.Asked("c", "g", role="r", session="s", external="e")),
        (("aws", "eks", "get-token"), None),
        (("aws", "eks", "update-kubeconfig", "--cluster-name", "c"), None),
        (("aws", "eks", "get-token", "--cluster-name", "c", "--endpoint-url", "http://x"), None),
        (("aws", "eks", "get-token", "--cluster-name", "c", "--output", "yaml"), None),
        (("aws", "eks", "get-token", "--cluster-name"), None),
        (("aws", "eks", "get-token", "--cluster-name", "c", "--cluster-id", "d"), None),
        (("aws-iam-authenticator", "token", "--forward-session-name", "-i", "c"), None),
        (("kubelogin", "get-token"), None),
    ],
)  # fmt: skip
def test_only_what_is_understood_whole_is_done_in_the_programs_place(
    command: tuple[str, ...], expected: eks.Asked | None
) -> None:
    assert eks.parse(command, {}) == expected


def test_the_authenticators_environment_counts() -> None:
    environment = {"DEFAULT_ROLE": "r", "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID": "c"}
    assert eks.parse(("aws-iam-authenticator", "token"), environment) == eks.Asked("c", role="r")


def test_without_credentials_the_remedy_is_reported_at_once(bare: pytest.MonkeyPatch) -> None:
    bare.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(NotGiven) as caught:
        made(*BY_AWS)
    assert "the token of plum (aws --region eu-west-1 eks get-token" in caught.value.message
    assert "no credentials of AWS were found" in caught.value.message
    assert "aws sts get-caller-identity" in str(caught.value.remedy)
    with pytest.raises(NotGiven, match="could not be found"):
        made(*BY_AWS, "--profile", "none")


def test_a_role_that_sts_refuses_is_reported(bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotGiven, match=r"failed with 1: .*127\.0\.0\.1:9"):
        made(*BY_AWS, "--role-arn", "arn:aws:iam::123456789012:role/x", AWS_ENDPOINT_URL_STS="http://127.0.0.1:9")


def test_an_installed_program_is_asked_itself(bare: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "aws"
    program.write_text('#!/bin/sh\necho \'{"status": {"token": "by-the-program"}}\'\n')
    program.chmod(0o755)
    assert made(*BY_AWS, PATH=str(folder)).token == "by-the-program"


def test_nothing_of_the_working_folder_is_run(bare: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cwd")
    for name in ("access", "json", "botocore"):
        (folder / f"{name}.py").write_text("raise SystemExit(7)")
    bare.chdir(folder)
    assert made(*BY_AWS).token
