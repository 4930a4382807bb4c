"""What a trust policy says of a ServiceAccount, as IAM evaluates it; what is not known here is neither yes nor no."""

from __future__ import annotations

from typing import Any

import pytest

from migration.objects.trust import Caller, Role, admits

ISSUER = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABCDEF0123"
KEY = ISSUER.removeprefix("https://")
OTHER = "oidc.eks.eu-west-1.amazonaws.com/id/0THER"
ROLE = Role.of("arn:aws:iam::111122223333:role/a/b/uploads")
assert ROLE is not None
PROVIDER = ROLE.provider(ISSUER)
CALLER = Caller(ISSUER, "shop", "writer")
SUB = "system:serviceaccount:shop:writer"


def allow(condition: Any = None, **changed: Any) -> dict[str, Any]:
    made = {"Effect": "Allow", "Principal": {"Federated": PROVIDER}, "Action": "sts:AssumeRoleWithWebIdentity", **changed}
    return made if condition is None else {**made, "Condition": condition}


def under(operator: str, value: Any, key: str = f"{KEY}:sub") -> dict[str, Any]:
    return allow({operator: {key: value}})


@pytest.mark.parametrize(
    ("statements", "result"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param([allow()], True, id="everybody of the issuer"),
        pytest.param(allow(), True, id="one statement that is no list"),
        pytest.param([allow(Principal={"Federated": ["x", PROVIDER]})], True, id="one of several providers"),
        pytest.param([allow(Principal={"Federated": PROVIDER.replace(KEY, OTHER)})], False, id="another issuer"),
        pytest.param([allow(Principal={"Federated": PROVIDER + "0"})], False, id="an issuer that begins alike"),
        pytest.param([allow(Principal={"Service": "pods.eks.amazonaws.com"})], False, id="pod identity alone"),
        pytest.param([allow(Principal={"Federated": PROVIDER.replace("1111", "9999")})], False, id="another account"),
        pytest.param([allow(Action=["sts:TagSession", "sts:assumerolewithwebidentity"])], True, id="one of several actions"),
        pytest.param([allow(Action="sts:*")], True, id="every action"),
        pytest.param([allow(Action="sts:AssumeRole")], False, id="another action"),
        pytest.param([under("StringEquals", SUB)], True, id="this account"),
        pytest.param([under("StringEquals", ["system:serviceaccount:a:b", SUB])], True, id="one of several accounts"),
        pytest.param([under("StringEquals", "system:serviceaccount:shop:reader")], False, id="another account of the issuer"),
        pytest.param([under("StringEquals", "system:serviceaccount:shop:*")], False, id="a pattern where none is read"),
        pytest.param([under("StringLike", "system:serviceaccount:shop:*")], True, id="a pattern"),
        pytest.param([under("StringLike", "system:serviceaccount:other:*")], False, id="a pattern of others"),
        pytest.param([under("StringLike", "system:serviceaccount:shop:[w]riter")], False, id="no character classes"),
        pytest.param([under("StringLike", "system:serviceaccount:????:writer")], True, id="single characters"),
        pytest.param([under("ForAnyValue:StringLike", ["*:writer"])], True, id="any value"),
        pytest.param([under("StringEqualsIgnoreCase", SUB.upper())], True, id="whatever the case"),
        pytest.param([under("StringNotEquals", SUB)], False, id="all but this one"),
        pytest.param([under("StringNotLike", "system:serviceaccount:kube-*")], True, id="all but others"),
        pytest.param([under("StringEquals", "sts.amazonaws.com", f"{KEY}:aud")], True, id="the audience"),
        pytest.param([under("StringEquals", "other", f"{KEY}:aud")], False, id="another audience"),
        pytest.param([under("StringEquals", SUB, f"{KEY.upper()}:SUB")], True, id="keys have no case"),
        pytest.param([under("StringEquals", SUB, f"{OTHER}:sub")], False, id="the subject of another issuer"),
        pytest.param([under("StringEqualsIfExists", SUB, f"{OTHER}:sub")], True, id="only if it exists"),
        pytest.param([under("Null", "true", f"{OTHER}:sub")], True, id="must not exist"),
        pytest.param([under("Null", "false", f"{KEY}:sub")], True, id="must exist"),
        pytest.param([under("StringEquals", "me", "aws:PrincipalTag/team")], None, id="what is not known here"),
        pytest.param([under("IpAddress", "203.0.113.0/24", "aws:SourceIp")], None, id="from where"),
        pytest.param([under("StringEquals", "${aws:username}")], None, id="a variable"),
        pytest.param([under("IpAddress", "a", "aws:SourceIp"), under("StringEquals", SUB)], True, id="another lets it in"),
        pytest.param([under("IpAddress", "a", "aws:SourceIp"), under("StringEquals", "b")], None, id="only one may"),
        pytest.param([allow(), {**allow(), "Effect": "Deny"}], False, id="denied"),
        pytest.param([{**allow(), "Effect": "Deny", "Principal": "*"}, allow()], False, id="everybody denied"),
        pytest.param([allow(), {**under("StringEquals", "b"), "Effect": "Deny"}], True, id="others denied"),
        pytest.param([allow(), {**under("IpAddress", "b", "aws:SourceIp"), "Effect": "Deny"}], None, id="perhaps denied"),
        pytest.param([allow(), {"Effect": "Deny", "NotPrincipal": {"AWS": "a"}, "Action": "*"}], None, id="the others denied"),
        pytest.param(["nonsense"], None, id="what is no statement"),
    ],
)
def test_a_policy_trusts_whom_its_statements_mean(statements: Any, result: bool | None) -> None:
    assert ROLE is not None
    assert admits({"Version": "2012-10-17", "Statement": statements}, ROLE, CALLER) is result


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "uploads",
        "arn:aws:iam::1111:role/a",
        "arn:aws:iam::111122223333:user/a",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:sts::111122223333:assumed-role/a/b",
        "arn:aws:iam::111122223333:role/a ",
        "${ROLE_ARN}",
    ],
)
def test_only_an_arn_of_a_role_is_one(arn: str) -> None:
    assert Role.of(arn) is None


def test_a_roles_name_is_without_its_path() -> None:
    assert ROLE is not None
    assert (ROLE.name, ROLE.account, ROLE.partition) == ("uploads", "111122223333", "aws")
