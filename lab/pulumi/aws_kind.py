"""The table's row: how one AWS type is made, read, changed and deleted with boto3, and what cannot change in place."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.pulumi.plugin import PluginError
from lab.pulumi.values import Properties

ACCOUNT = "123456789012"  # the one moto speaks for
POLL_SECONDS = 0.1
WAIT_SECONDS = 300.0


class Aws:
    """boto3 clients, one per service, made when first needed (each costs a tenth of a second)."""

    def __init__(self) -> None:
        self.region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "eu-west-1"
        self.default_tags: dict[str, str] = {}
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __call__(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                if not os.environ.get("AWS_ENDPOINT_URL"):
                    raise PluginError("AWS_ENDPOINT_URL is not set: the lab's aws plugin never speaks to the real AWS")
                import botocore.session  # boto3 around it would bring its S3 transfers, half of a plugin's start
                from botocore.config import Config

                config = Config(region_name=self.region, max_pool_connections=32, retries={"max_attempts": 2})
                self._clients[service] = botocore.session.get_session().create_client(service, config=config)
            return self._clients[service]

    def arn(self, service: str, resource: str, regional: bool = True) -> str:
        return f"arn:aws:{service}:{self.region if regional else ''}:{ACCOUNT}:{resource}"


@dataclass(frozen=True)
class Change:
    """One update: what was and is wanted, and the names of the properties that differ."""

    id: str
    old: Properties
    new: Properties
    changed: frozenset[str]


Create = Callable[[Aws, Properties], str]
Read = Callable[[Aws, str, Properties], Properties | None]
Update = Callable[[Aws, Change], None]
Delete = Callable[[Aws, str, Properties], None]
Tag = Callable[[Aws, str, Properties, Mapping[str, str], Iterable[str]], None]


@dataclass(frozen=True)
class Kind:
    create: Create
    read: Read
    delete: Delete
    update: Update | None = None
    tag: Tag | None = None  # (aws, id, outputs, tags to set, keys to remove)
    force_new: frozenset[str] = frozenset()
    name: str | None = None  # the property that is made up when not given
    unique: bool = False  # two cannot exist side by side: the old one goes first
    defaults: Mapping[str, Any] = field(default_factory=dict)


def is_gone(error: Exception) -> bool:
    """Does a boto3 error say that the thing is not there?"""
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    return bool("NotFound" in code or "NoSuch" in code or code.endswith(".Malformed") or code == "404")


def missing_ok(call: Callable[..., Any], **arguments: Any) -> Any:
    """The answer, or None when what it speaks of is gone."""
    from botocore.exceptions import ClientError

    try:
        return call(**arguments)
    except ClientError as error:
        if is_gone(error):
            return None
        raise


def delete_by(service: str, call: str, key: str, **more: Any) -> Delete:
    """A Kind's `delete`: one call that names the resource by its id under `key`; what is gone already is deleted."""
    return lambda aws, id, outputs: missing_ok(getattr(aws(service), call), **{key: id}, **more)


def wait(what: str, done: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise PluginError(f"{what}: not so after {seconds:.0f} s")
        time.sleep(POLL_SECONDS)


def first(answer: Mapping[str, Any] | None, key: str) -> Any:
    items = (answer or {}).get(key) or []
    return items[0] if items else None


def camel(answer: Mapping[str, Any]) -> dict[str, Any]:
    """boto3's VpcId to the SDK's vpcId, all the way down."""
    return {key[:1].lower() + key[1:]: _camel(item) for key, item in answer.items()}


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return camel(value)
    if isinstance(value, list):
        return [_camel(item) for item in value]
    return value


def pascal(inputs: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Pick the named inputs that are given, under boto3's names."""
    return {name[:1].upper() + name[1:]: inputs[name] for name in names if inputs.get(name) is not None}


def pick(inputs: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: inputs[name] for name in names if inputs.get(name) is not None}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_map(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags or [] if not tag["Key"].startswith("aws:")}
