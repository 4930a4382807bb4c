"""The routes of a cluster, of every kind that it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import routing
from migration.errors import NotFound
from migration.objects.kinds import Object, Resource
from migration.ports import Reader


async def listed(cluster: Reader, kinds: Iterable[routing.RouteKind] | None = None, **options: Any) -> list[Object]:
    """Routes of these kinds (None: of all that are registered), peer routes among them. `options`, errors: as `served`."""
    asked = routing.registered() if kinds is None else kinds
    return await served(cluster, [kind.resource for kind in asked], **options)


async def gateways(cluster: Reader) -> list[Object]:
    """All to which a route may be bound. Errors as `served`."""
    return await served(cluster, [kind.gateway for kind in routing.registered()])


async def served(cluster: Reader, resources: Iterable[Resource], **options: Any) -> list[Object]:
    """What there is of these kinds; of one that the cluster does not serve, nothing. `options`: of `Reader.list`.

    Raises:
        NotFound: it serves none of them.
        BluegreenError: as the cluster answers.
    """
    asked = tuple(dict.fromkeys(resources))
    answers = await asyncio.gather(*(cluster.list(each, **options) for each in asked), return_exceptions=True)
    problems = [answer for answer in answers if isinstance(answer, BaseException)]
    if problem := next((each for each in problems if not isinstance(each, NotFound)), None):
        raise problem
    if problems and len(problems) == len(asked):
        raise problems[0]
    return [item for answer in answers if not isinstance(answer, BaseException) for item in answer.items]
