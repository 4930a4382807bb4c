"""The client of IAM, on moto: it reads exactly the role that is asked for, and says what it may not know."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from moto import mock_aws

from migration.clients.iam import AwsIdentities
from migration.errors import Forbidden, NotFound, Rejected, Unreachable

TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
MINE = "123456789012"  # the account that moto speaks for


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without credentials, profiles or an endpoint."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "ENDPOINT_URL", "WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED", raising=False)
    for name in ("CONFIG_FILE", "SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(f"AWS_{name}", str(tmp_path / "none"))


@pytest.fixture
def iam(bare: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield boto3.client("iam", region_name="us-east-1")


def made(iam: Any, name: str, path: str = "/") -> str:
    arn: str = iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    return arn


def test_the_trust_policy_of_a_role_is_read_by_its_arn_wherever_its_path_leads(iam: Any) -> None:
    aws = AwsIdentities()
    assert asyncio.run(aws.trust(made(iam, "plain"))) == TRUST
    assert asyncio.run(aws.trust(made(iam, "deep", "/team/media/"))) == TRUST


def test_a_role_that_is_not_there_is_not_found(iam: Any) -> None:
    with pytest.raises(NotFound):
        asyncio.run(AwsIdentities().trust(f"arn:aws:iam::{MINE}:role/none"))


def test_a_role_of_that_name_in_another_path_is_another_role(iam: Any) -> None:
    made(iam, "uploads", "/old/")
    with pytest.raises(NotFound, match="role/old/uploads"):
        asyncio.run(AwsIdentities().trust(f"arn:aws:iam::{MINE}:role/uploads"))


def test_a_role_of_another_account_is_not_taken_for_ours_of_the_same_name(iam: Any) -> None:
    made(iam, "uploads")
    with pytest.raises(Forbidden, match=f"999999999999, and the AWS credentials are of account {MINE}"):
        asyncio.run(AwsIdentities().trust("arn:aws:iam::999999999999:role/uploads"))


def test_what_is_no_arn_is_not_asked_for(iam: Any) -> None:
    with pytest.raises(Rejected, match="no ARN"):
        asyncio.run(AwsIdentities().trust("uploads"))


def test_a_provider_has_its_audiences(iam: Any) -> None:
    url = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC"
    arn = iam.create_open_id_connect_provider(Url=url, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["a" * 40])
    aws = AwsIdentities()
    assert asyncio.run(aws.audiences(arn["OpenIDConnectProviderArn"])) == {"sts.amazonaws.com"}
    with pytest.raises(NotFound):
        asyncio.run(aws.audiences(f"arn:aws:iam::{MINE}:oidc-provider/other.example.com"))


def test_without_credentials_nothing_is_asked_not_even_the_metadata_service(
    bare: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled: list[Any] = []

    def refuse(self: Any, address: Any) -> None:
        dialled.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    aws = AwsIdentities()
    for _ in range(2):
        with pytest.raises(Forbidden, match="no AWS credentials"):
            asyncio.run(aws.trust(f"arn:aws:iam::{MINE}:role/uploads"))
    assert dialled == []


class Eks(BaseHTTPRequestHandler):
    """Two pages of associations of cluster fern, as EKS answers."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        at = parse_qs(url.query).get("nextToken", [""])[0]
        there = url.path == "/clusters/fern/pod-identity-associations"
        page = {"associations": [{"namespace": "shop", "serviceAccount": at or "first"}], "nextToken": None if at else "second"}
        body = json.dumps(page if there else {"message": "No cluster found"}).encode()
        self.send_response(200 if there else 404)
        if not there:
            self.send_header("x-amzn-ErrorType", "ResourceNotFoundException")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_associations_are_read_page_by_page(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with ThreadingHTTPServer(("127.0.0.1", 0), Eks) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
            aws = AwsIdentities()
            assert asyncio.run(aws.associations("fern", "eu-west-1")) == {"shop/first", "shop/second"}
            with pytest.raises(NotFound, match="No cluster found"):
                asyncio.run(aws.associations("plum", "eu-west-1"))
        finally:
            server.shutdown()
            thread.join(10)


def test_an_endpoint_that_does_not_answer_is_asked_once(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    aws = AwsIdentities()
    with pytest.raises(Unreachable) as first:
        asyncio.run(aws.trust(f"arn:aws:iam::{MINE}:role/a"))
    with pytest.raises(Unreachable) as second:
        asyncio.run(aws.trust(f"arn:aws:iam::{MINE}:role/b"))
    assert second.value is first.value
