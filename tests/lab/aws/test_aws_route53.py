"""Route 53's own rules over the real HTTP API, and what DNS makes of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dns.rcode
import pytest

from tests.lab.support.aws import Aws, until
from tests.lab.support.zone import Zone, a


@pytest.mark.parametrize("weight", [256, 1000])
def test_a_weight_above_255_is_refused(zone: Zone, weight: int) -> None:
    code, message = zone.refused(("CREATE", a(f"w.{zone.name}", "127.0.0.1", weight, "plum")))
    assert code == "InvalidInput"
    assert str(weight) in message


def test_weights_of_0_and_255_are_kept(zone: Zone) -> None:
    name = f"w.{zone.name}"
    zone.settled(("CREATE", a(name, "127.0.0.1", 0, "plum")), ("CREATE", a(name, "127.0.0.2", 255, "fern")))
    assert {each["SetIdentifier"]: each["Weight"] for each in zone.sets()} == {"plum": 0, "fern": 255}


def test_simple_and_weighted_records_exclude_each_other(zone: Zone) -> None:
    name = f"www.{zone.name}"
    simple, weighted = a(name, "127.0.0.1"), a(name, "127.0.0.1", 10, "plum")
    zone.settled(("CREATE", simple))
    code, message = zone.refused(("UPSERT", weighted))
    assert (code, "cannot be created" in message) == ("InvalidChangeBatch", True)
    zone.settled(("DELETE", simple), ("CREATE", weighted))
    code, message = zone.refused(("CREATE", simple))
    assert (code, "cannot be created" in message) == ("InvalidChangeBatch", True)


def test_weighted_sets_need_identifiers_of_their_own(zone: Zone) -> None:
    name = f"w.{zone.name}"
    assert zone.refused(("CREATE", a(name, "127.0.0.1", 10)))[0] == "InvalidInput"
    assert zone.refused(("CREATE", a(name, "127.0.0.1", None, "plum")))[0] == "InvalidInput"
    zone.settled(("CREATE", a(name, "127.0.0.1", 10, "plum")))
    code, message = zone.refused(("CREATE", a(name, "127.0.0.2", 20, "plum")))
    assert (code, "already exists" in message) == ("InvalidChangeBatch", True)


def test_a_record_without_ttl_is_refused(zone: Zone) -> None:
    record = a(f"x.{zone.name}", "127.0.0.1")
    del record["TTL"]
    assert zone.refused(("CREATE", record))[0] == "InvalidInput"


def test_delete_must_name_what_is_there(zone: Zone) -> None:
    name = f"d.{zone.name}"
    zone.settled(("CREATE", a(name, "127.0.0.1", 10, "plum")))
    assert "was not found" in zone.refused(("DELETE", a(name, "127.0.0.1", 10, "fern")))[1]
    for other in (a(name, "127.0.0.1", 11, "plum"), a(name, "127.0.0.9", 10, "plum"), a(name, "127.0.0.1", 10, "plum", 6)):
        assert "do not match" in zone.refused(("DELETE", other))[1]
    zone.settled(("DELETE", a(name, "127.0.0.1", 10, "plum")))
    assert zone.sets() == []


def test_delete_takes_only_the_set_named(zone: Zone) -> None:
    """moto alone deletes every record with that set identifier, whatever its name."""
    one, two = a(f"one.{zone.name}", "127.0.0.1", 1, "plum"), a(f"two.{zone.name}", "127.0.0.1", 1, "plum")
    zone.settled(("CREATE", one), ("CREATE", two))
    zone.settled(("DELETE", one))
    assert [each["Name"] for each in zone.sets()] == [f"two.{zone.name}."]


def test_a_batch_is_all_or_nothing(zone: Zone) -> None:
    good, bad = a(f"good.{zone.name}", "127.0.0.1"), a(f"bad.{zone.name}", "127.0.0.1", 300, "plum")
    zone.refused(("CREATE", good), ("CREATE", bad))
    zone.refused(("CREATE", good), ("DELETE", a(f"none.{zone.name}", "127.0.0.1")))
    assert zone.sets() == []


def test_a_name_outside_the_zone_is_refused(zone: Zone) -> None:
    assert "not permitted in zone" in zone.refused(("CREATE", a("elsewhere.test", "127.0.0.1")))[1]


def test_a_cname_beside_other_records_is_refused(zone: Zone) -> None:
    name = f"c.{zone.name}"
    zone.settled(("CREATE", a(name, "127.0.0.1")))
    cname = {"Name": name, "Type": "CNAME", "TTL": 5, "ResourceRecords": [{"Value": "other.test"}]}
    assert "not permitted" in zone.refused(("CREATE", cname))[1]


def test_dns_serves_a_change_only_when_it_is_in_sync(zone: Zone) -> None:
    name = f"p.{zone.name}"
    zone.settled(("CREATE", a(name, "127.0.0.1")))
    change = zone.change(("UPSERT", a(name, "127.0.0.2")))
    served = zone.addresses(name)
    if zone.status(change) == "PENDING":  # still so after the answer, so also when it was given
        assert served == ["127.0.0.1"]
    until(lambda: zone.status(change) == "INSYNC", "INSYNC")
    assert zone.addresses(name) == ["127.0.0.2"]


def test_weighted_answers_come_by_weight(zone: Zone) -> None:
    name = f"w.{zone.name}"
    zone.settled(("CREATE", a(name, "127.0.0.1", 60, "plum", 7)), ("CREATE", a(name, "127.0.0.2", 20, "fern", 7)))
    draws = 800
    counted = Counter(zone.addresses(name)[0] for _ in range(draws))
    assert sum(counted.values()) == draws
    # binomial, p = 0.25: 6 standard deviations, one run in hundreds of millions falls outside
    assert abs(counted["127.0.0.2"] - draws / 4) < 6 * (draws * 0.25 * 0.75) ** 0.5


def test_weighted_answers_have_the_ttl_of_their_records(zone: Zone) -> None:
    name = f"w.{zone.name}"
    zone.settled(("CREATE", a(name, "127.0.0.1", 60, "plum", 7)), ("CREATE", a(name, "127.0.0.2", 20, "fern", 7)))
    assert {rrset.ttl for rrset in zone.ask(name).answer} == {7}


@pytest.mark.parametrize(("weights", "served"), [((255, 0), {"127.0.0.1"}), ((0, 0), {"127.0.0.1", "127.0.0.2"})])
def test_weight_0_gets_nothing_unless_all_are_0(zone: Zone, weights: tuple[int, int], served: set[str]) -> None:
    name = f"w.{zone.name}"
    zone.settled(("CREATE", a(name, "127.0.0.1", weights[0], "plum")), ("CREATE", a(name, "127.0.0.2", weights[1], "fern")))
    assert {zone.addresses(name)[0] for _ in range(100)} == served


def test_dns_answers_every_form_of_record_as_route_53_does(zone: Zone) -> None:
    alias: dict[str, Any] = {"HostedZoneId": zone.id.split("/")[-1], "DNSName": f"to.{zone.name}"}
    alias["EvaluateTargetHealth"] = False
    cname = {"Name": f"c.{zone.name}", "Type": "CNAME", "TTL": 5, "ResourceRecords": [{"Value": f"to.{zone.name}"}]}
    zone.settled(
        ("CREATE", a(f"*.{zone.name}", "127.0.0.1")),
        ("CREATE", a(f"to.{zone.name}", "127.0.0.2")),
        ("CREATE", a(f"deep.sub.{zone.name}", "127.0.0.4")),
        ("CREATE", {"Name": zone.name, "Type": "A", "AliasTarget": alias}),
        ("CREATE", cname),
    )
    assert zone.addresses(f"any.{zone.name}") == ["127.0.0.1"]
    assert zone.addresses(zone.name) == ["127.0.0.2"]
    assert zone.addresses(f"c.{zone.name}") == ["127.0.0.2"]
    nothing = zone.ask(f"to.{zone.name}", "AAAA")
    assert (nothing.rcode(), nothing.answer, len(nothing.authority)) == (dns.rcode.NOERROR, [], 1)
    assert zone.ask(f"other.sub.{zone.name}").rcode() == dns.rcode.NXDOMAIN
    assert zone.ask("not.ours.example").rcode() == dns.rcode.REFUSED
    assert zone.ask(f"any.{zone.name}", tcp=True).answer


def test_an_alias_to_a_load_balancer_is_the_addresses_of_its_targets(aws: Aws, zone: Zone) -> None:
    ec2, elb = aws("ec2"), aws("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24", AvailabilityZone=f"eu-west-1{z}")["Subnet"]["SubnetId"]
        for n, z in ((0, "a"), (1, "b"))
    ]
    balancer = elb.create_load_balancer(Name="gw", Subnets=subnets, Type="network")["LoadBalancers"][0]
    group = elb.create_target_group(Name="gw", Protocol="TCP", Port=80, VpcId=vpc, TargetType="ip")["TargetGroups"][0]
    elb.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": "127.70.16.10", "Port": 8080}])
    action = {"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}
    elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="TCP", Port=80, DefaultActions=[action])
    target = {
        "HostedZoneId": balancer["CanonicalHostedZoneId"],
        "DNSName": "dualstack." + balancer["DNSName"],
        "EvaluateTargetHealth": True,
    }
    zone.settled(("CREATE", {"Name": f"lb.{zone.name}", "Type": "A", "AliasTarget": target}))
    assert zone.addresses(f"lb.{zone.name}") == ["127.70.16.10"]


def test_a_deleted_zone_is_no_longer_answered(aws: Aws) -> None:
    zone = Zone(aws)
    zone.settled(("CREATE", a(f"x.{zone.name}", "127.0.0.1")))
    zone.delete()
    assert zone.ask(f"x.{zone.name}").rcode() == dns.rcode.REFUSED
