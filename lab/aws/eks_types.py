"""What the lab's EKS keeps of a cluster, and how it refuses."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
Answer = dict[str, Any]
At = Mapping[str, Any]  # what the path names, and the query


class EksError(Exception):
    """An error as EKS answers it: HTTP status, type, message and the names it is about."""

    def __init__(self, status: int, kind: str, message: str, **names: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind
        self.body: Body = {"message": message} | names


def gone(message: str, **names: str) -> EksError:
    return EksError(404, "ResourceNotFoundException", message, **names)


def in_use(message: str, **names: str) -> EksError:
    return EksError(409, "ResourceInUseException", message, **names)


def invalid(message: str, **names: str) -> EksError:
    return EksError(400, "InvalidParameterException", message, **names)


def refused(message: str, **names: str) -> EksError:
    return EksError(400, "InvalidRequestException", message, **names)


@dataclass
class Kept:
    """A cluster as DescribeCluster shows it, and what belongs to it."""

    shown: Body
    node_groups: dict[str, Body] = field(default_factory=dict)
    addons: dict[str, Body] = field(default_factory=dict)
    access: dict[str, Body] = field(default_factory=dict)
    policies: dict[str, dict[str, Body]] = field(default_factory=dict)
    identities: dict[str, Body] = field(default_factory=dict)
    updates: dict[str, Body] = field(default_factory=dict)

    def update(self, kind: str, changes: Mapping[str, Any]) -> Answer:
        """Keeps and answers an update that is done."""
        params = [{"type": key[0].upper() + key[1:], "value": str(value)} for key, value in changes.items()]
        update: Body = {
            "id": str(uuid.uuid4()),
            "status": "Successful",
            "type": kind,
            "params": params,
            "createdAt": time.time(),
            "errors": [],
        }
        self.updates[update["id"]] = update
        return {"update": update}


def paged(names: list[Any], key: str, at: At) -> Answer:
    """One page of a list, by maxResults and nextToken (here: the number of the first)."""
    query = at["query"]
    first, most = int(query.get("nextToken", ["0"])[0]), int(query.get("maxResults", ["100"])[0])
    answer: Answer = {key: names[first : first + most]}
    if first + most < len(names):
        answer["nextToken"] = str(first + most)
    return answer
