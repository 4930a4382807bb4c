"""A plan that would rewrite much of what green has is refused, and nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from migration.errors import Held
from migration.objects import kinds
from migration.ownership.judge import Item
from migration.replicate import brake
from migration.replicate.apply import Applied, apply
from migration.replicate.export import Bundle
from migration.replicate.plan import Plan, plan
from migration.settings.choices import Rewrites
from tests.fakes.apiserver import FakeApiServer


def config(number: int, value: str = "old") -> dict[str, Any]:
    meta = {"name": f"c{number}", "namespace": "n"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": value}}


def deployment(number: int, image: str = "old") -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "main", "image": image}]}}
    meta = {"name": f"d{number}", "namespace": "n"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"replicas": 1, "template": template}}


def configs(count: int, changed: int = 0) -> list[dict[str, Any]]:
    return [config(number, "new" if number < changed else "old") for number in range(count)]


def planned(green: FakeApiServer, objects: list[dict[str, Any]], limit: Rewrites, *, force: bool = False) -> Plan:
    items = [Item(kinds.WELL_KNOWN[each["apiVersion"].rpartition("/")[0], each["kind"]], each) for each in objects]
    return asyncio.run(plan(Bundle("plum", items), green, limit=limit, force=force))


def run(green: FakeApiServer, objects: list[dict[str, Any]], *, force: bool = False, limit: Rewrites | None = None) -> Applied:
    return asyncio.run(apply(planned(green, objects, limit or Rewrites()), green, force=force))


def holding(*objects: dict[str, Any]) -> FakeApiServer:
    """Green as a first run left it."""
    green = FakeApiServer("fern")
    run(green, list(objects))
    green.requests.clear()
    return green


def test_more_updates_than_the_share_are_refused() -> None:
    green = holding(*configs(20))
    with pytest.raises(Held) as refused:
        run(green, configs(20, changed=7))
    assert (green.writes(), refused.value.exit_code) == ([], 3)
    assert "7 of the 20 objects that fern has already would be rewritten (35 %); allowed: 6" in str(refused.value)
    assert "replicate.rewrites.share: 0.3" in str(refused.value)
    assert "`bluegreen replicate --force`" in str(refused.value.remedy)


def test_updates_up_to_the_share_are_written() -> None:
    assert run(holding(*configs(20)), configs(20, changed=6)).updated == 6


def test_with_force_all_of_it_is_written() -> None:
    assert run(holding(*configs(20)), configs(20, changed=20), force=True).updated == 20


@pytest.mark.parametrize(
    ("limit", "changed"), [(Rewrites(share=0.5), 10), (Rewrites(share=1), 20), (Rewrites(minimum=21), 20)], ids=str
)
def test_the_limit_is_what_migration_yaml_says(limit: Rewrites, changed: int) -> None:
    assert run(holding(*configs(20)), configs(20, changed=changed), limit=limit).updated == changed


def test_with_a_share_of_0_nothing_is_rewritten() -> None:
    with pytest.raises(Held):
        run(holding(*configs(20)), configs(20, changed=1), limit=Rewrites(share=0))


@pytest.mark.parametrize(("count", "refused"), [(9, False), (10, True)])
def test_where_green_has_few_objects_there_is_no_limit(count: int, refused: bool) -> None:
    plan_of = planned(holding(*configs(count)), configs(count, changed=count), Rewrites())
    assert (plan_of.excess is not None) is refused


def test_creating_is_free() -> None:
    assert run(holding(*configs(10)), configs(100)).created == 90


def test_creating_makes_no_room_for_rewriting() -> None:
    with pytest.raises(Held, match="4 of the 10 objects"):
        run(holding(*configs(10)), configs(100, changed=4))


def test_workloads_that_are_all_replaced_do_not_hide_among_objects_that_stay() -> None:
    old, new = ([deployment(number, image) for number in range(10)] for image in ("old", "new"))
    with pytest.raises(Held, match="10 of the 10 workloads that fern has"):
        run(holding(*old, *configs(90)), [*new, *configs(90)])


def test_conflicts_are_no_reason_to_refuse_the_rest() -> None:
    green = holding(*configs(20))
    in_conflict(green, range(15))
    done = run(green, [*configs(19), config(19, "new")])
    assert (len(done.conflicts), done.updated) == (15, 1)


def test_what_is_held_on_green_is_not_counted() -> None:
    green = holding(*configs(20))
    for number in range(10):
        green.objects["", "ConfigMap", "n", f"c{number + 10}"]["metadata"]["deletionTimestamp"] = "2026-08-24T03:04:05Z"
    with pytest.raises(Held, match="4 of the 10 objects"):
        run(green, configs(20, changed=4))


def in_conflict(green: FakeApiServer, numbers: Iterable[int]) -> None:
    """Another client owns what these objects of green say now."""
    for number in numbers:
        live = green.objects["", "ConfigMap", "n", f"c{number}"]
        live["data"]["a"] = "theirs"
        fields: dict[str, Any] = {"f:data": {"f:a": {}}}
        live["metadata"]["managedFields"].append({"manager": "kubectl-edit", "fieldsV1": fields, "time": "t999999"})


def test_conflicts_do_not_make_room_for_rewriting_all_that_may_be_written() -> None:
    green = holding(*configs(100))
    in_conflict(green, range(70))
    with pytest.raises(Held, match="30 of the 30 objects"):
        run(green, configs(100, changed=100))
    assert green.writes() == []


def test_with_force_conflicts_count_as_rewrites() -> None:
    green = holding(*configs(20))
    in_conflict(green, range(19))
    assert planned(green, configs(20), Rewrites()).excess is None
    said = planned(green, configs(20), Rewrites(), force=True).excess
    assert said is not None
    assert (said.rewritten, said.existing) == (19, 20)


def test_few_workloads_that_are_all_replaced_do_not_hide_either() -> None:
    old, new = ([deployment(number, image) for number in range(3)] for image in ("old", "new"))
    with pytest.raises(Held, match="3 of the 3 workloads that fern has"):
        run(holding(*old, *configs(90)), [*new, *configs(90)])


def test_a_share_in_hundredths_is_what_it_says() -> None:
    assert run(holding(*configs(100)), configs(100, changed=29), limit=Rewrites(share=0.29)).updated == 29


def test_what_to_run_next_is_about_what_was_asked_for() -> None:
    beyond = planned(holding(*configs(20)), configs(20, changed=20), Rewrites()).excess
    with pytest.raises(Held) as refused:
        brake.refuse(beyond, force=False, command="bluegreen replicate shop --kind ConfigMap")
    assert "`bluegreen replicate shop --kind ConfigMap --force`" in str(refused.value.remedy)
