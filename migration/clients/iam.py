"""What AWS says of the identities of pods: trust policies of roles, OIDC providers, Pod Identity associations. Reads only.

Credentials are those of the environment or of a profile, as the AWS CLI finds them; the metadata service of an instance is
not asked, so that a machine which is no part of AWS is not made to wait for an address that nobody has there. Endpoints
follow AWS_ENDPOINT_URL.

IAM looks a role up by its name in the account of who asks, so the account is compared first: another account's role of the
same name tells nothing.

No exception of botocore leaves this module.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from migration.clients import aws
from migration.errors import BluegreenError, ConfigError, Forbidden, NotFound, Rejected, Unreachable
from migration.objects.trust import Role

if TYPE_CHECKING:
    from boto3.session import Session

T = TypeVar("T")
# where a partition's IAM is reached; credentials are of one partition only
REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


class AwsIdentities:
    """Every method may be called again: what cannot be asked at all (no credentials, no answer) is found out once."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._clients: dict[tuple[str, str], Any] = {}
        self._accounts: dict[str, str] = {}
        self._closed: BluegreenError | None = None

    async def trust(self, role_arn: str) -> Mapping[str, Any]:
        """The trust policy of exactly this role.

        Raises:
            NotFound: the account has no such role.
            Forbidden, Unreachable, Rejected: it cannot be told; a role of another account among them.
        """
        role = Role.of(role_arn)
        if role is None:
            raise Rejected(f"{role_arn!r} is no ARN of an IAM role")
        account = role.account

        def asked(iam: Any) -> Mapping[str, Any]:
            live = iam.get_role(RoleName=role.name)["Role"]
            if live["Arn"] != role_arn:
                raise NotFound(f"account {account} has no role {role_arn}, but {live['Arn']}")
            policy = live.get("AssumeRolePolicyDocument") or {}
            return dict(json.loads(unquote(policy)) if isinstance(policy, str) else policy)

        return await self._ask(role.partition, account, asked)

    async def audiences(self, provider_arn: str) -> frozenset[str]:
        """The client ids of an OIDC provider. NotFound: the account has none by this ARN."""
        parts = provider_arn.split(":", 5)
        if len(parts) != 6:
            raise Rejected(f"{provider_arn!r} is no ARN of an OIDC provider")
        return await self._ask(
            parts[1],
            parts[4],
            lambda iam: frozenset(
                map(str, iam.get_open_id_connect_provider(OpenIDConnectProviderArn=provider_arn).get("ClientIDList") or ())
            ),
        )

    async def associations(self, cluster: str, region: str) -> frozenset[str]:
        """`namespace/name` of each ServiceAccount that has a Pod Identity association. NotFound: EKS has no such cluster."""

        def listed() -> frozenset[str]:
            pages = self._client("eks", region).get_paginator("list_pod_identity_associations").paginate(clusterName=cluster)
            return frozenset(f"{a['namespace']}/{a['serviceAccount']}" for page in pages for a in page["associations"])

        return await asyncio.to_thread(self._call, listed)

    async def _ask(self, partition: str, account: str, act: Callable[[Any], T]) -> T:
        region = REGIONS.get(partition)
        if region is None:
            raise Rejected(f"the IAM of partition {partition} is not known here")

        def asked() -> T:
            ours = self._account(region)
            if ours != account:
                raise Forbidden(f"it is in account {account}, and the AWS credentials are of account {ours}")
            return act(self._client("iam", region))

        return await asyncio.to_thread(self._call, asked)

    def _account(self, region: str) -> str:
        if region not in self._accounts:
            self._accounts[region] = str(self._client("sts", region).get_caller_identity()["Account"])
        return self._accounts[region]

    def _client(self, service: str, region: str) -> Any:
        from botocore.config import Config

        if (service, region) not in self._clients:
            config = Config(connect_timeout=3, read_timeout=10, retries={"max_attempts": 2})
            make: Any = self._opened().client
            self._clients[service, region] = make(service, region_name=region, config=config)
        return self._clients[service, region]

    def _opened(self) -> Session:
        if self._session is None:
            import boto3
            import botocore.session

            core = botocore.session.get_session()
            core.get_component("credential_provider").remove("iam-role")  # the metadata service
            session = boto3.session.Session(botocore_session=core)
            if session.get_credentials() is None:
                raise Forbidden("there are no AWS credentials in the environment or in a profile")
            self._session = session
        return self._session

    def _call(self, act: Callable[[], T]) -> T:
        from botocore.exceptions import ClientError

        if self._closed is not None:
            raise self._closed
        try:
            return aws.call("AWS", act)
        except (ConfigError, Unreachable) as problem:
            if not isinstance(problem.__cause__, ClientError):  # that was an answer: the next may be another
                self._closed = problem
            raise
        except Forbidden as problem:
            if self._session is None:
                self._closed = problem
            raise
