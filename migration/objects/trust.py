"""Whether a role's trust policy lets one ServiceAccount of one cluster in: pure, over the policy as IAM gives it.

STS looks for a statement whose federated principal is the OIDC provider of the token's issuer, in the role's own account,
whose action allows sts:AssumeRoleWithWebIdentity and whose conditions hold for the token's subject and audience. A
statement that asks for anything else is not judged here: the answer is then that it cannot be told, never that it is good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ACTION = "sts:AssumeRoleWithWebIdentity"
AUDIENCE = "sts.amazonaws.com"  # in every partition: what EKS' webhook asks tokens for, unless the account says otherwise
_ROLE = re.compile(r"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>\d{12}):role/(?:[\x21-\x7e]+/)?(?P<name>[\w+=,.@-]{1,64})")
# what OIDC providers put into the request; of all providers only the token's own keys are there
_TOKEN_KEYS = ("sub", "aud", "amr", "azp", "oaud")


@dataclass(frozen=True)
class Role:
    """An IAM role, in the parts of its ARN."""

    arn: str
    partition: str
    account: str
    name: str  # without its path

    @classmethod
    def of(cls, arn: str) -> Role | None:
        """None: this is no ARN of a role."""
        match = _ROLE.fullmatch(arn)
        return cls(arn, match["partition"], match["account"], match["name"]) if match else None

    def provider(self, issuer: str) -> str:
        """The ARN of the issuer's OIDC provider in the role's account: one of another account is not asked by STS."""
        return f"arn:{self.partition}:iam::{self.account}:oidc-provider/{bare(issuer)}"


@dataclass(frozen=True)
class Caller:
    """A ServiceAccount as its token tells it."""

    issuer: str
    namespace: str
    name: str
    audience: str = AUDIENCE

    @property
    def subject(self) -> str:
        """The `sub` claim of the account's tokens."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


def bare(issuer: str) -> str:
    """An issuer's URL as IAM writes it in ARNs and condition keys."""
    return issuer.removeprefix("https://").rstrip("/")


def statement(role: Role, caller: Caller) -> str:
    """What to add to the role's trust policy, as JSON on one line."""
    key = bare(caller.issuer)
    return json.dumps(
        {
            "Effect": "Allow",
            "Principal": {"Federated": role.provider(caller.issuer)},
            "Action": ACTION,
            "Condition": {"StringEquals": {f"{key}:sub": caller.subject, f"{key}:aud": caller.audience}},
        }
    )


def admits(policy: Mapping[str, Any], role: Role, caller: Caller) -> bool | None:
    """Whether the policy lets the caller in; None: it has statements about the caller's provider that cannot be judged."""
    allowed: bool | None = False
    for each in _listed(policy.get("Statement")):
        if not isinstance(each, Mapping):
            return None
        deny = str(each.get("Effect")) == "Deny"
        applies = _applies(each, role, caller, deny=deny)
        if applies is False:
            continue
        if deny:
            if applies:
                return False
            allowed = None
            break
        if applies or allowed is False:
            allowed = applies
    return allowed


def _applies(each: Mapping[str, Any], role: Role, caller: Caller, *, deny: bool) -> bool | None:
    if "NotPrincipal" in each or "NotAction" in each:
        return None if deny else False
    principal = each.get("Principal")
    provider = role.provider(caller.issuer)
    federated = [str(p) for p in _listed(principal.get("Federated"))] if isinstance(principal, Mapping) else []
    everybody = principal == "*" or (isinstance(principal, Mapping) and "*" in _listed(principal.get("AWS")))
    if provider not in federated and not (deny and everybody):
        return False
    if not any(_like(str(action), ACTION, ignore_case=True) for action in _listed(each.get("Action"))):
        return False
    results = [
        _condition(str(operator), str(key), [str(v) for v in _listed(values)], caller)
        for operator, keys in _items(each.get("Condition"))
        for key, values in _items(keys)
    ]
    if False in results:
        return False
    return None if None in results else True


def _condition(operator: str, key: str, values: list[str], caller: Caller) -> bool | None:
    """Whether one condition holds for the caller's token; None: it asks for what is not known here."""
    prefix, _, given = key.lower().rpartition(":")
    if prefix == bare(caller.issuer).lower() and given in ("sub", "aud"):
        actual: str | None = caller.subject if given == "sub" else caller.audience
    elif given in _TOKEN_KEYS and prefix not in ("aws", "sts", "iam") and prefix != bare(caller.issuer).lower():
        actual = None  # another issuer's key: not in this request
    else:
        return None
    quantifier, _, rest = operator.rpartition(":")
    name = rest.lower()
    if_exists = name.endswith("ifexists")
    name = name.removesuffix("ifexists")
    if any("${" in value for value in values):
        return None
    if name == "null":
        return any((value.lower() == "true") == (actual is None) for value in values)
    wanted = name.replace("stringnot", "string")
    test = TESTS.get(wanted)
    if test is None:
        return None
    if actual is None:
        return if_exists or quantifier.lower() == "forallvalues" or wanted != name
    return any(test(value, actual) for value in values) == (wanted == name)


def _like(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    """As IAM has it: `*` any run of characters, `?` any one."""
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "stringequals": lambda wanted, actual: wanted == actual,
    "stringequalsignorecase": lambda wanted, actual: wanted.lower() == actual.lower(),
    "stringlike": lambda wanted, actual: _like(wanted, actual),
}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    yield from value.items() if isinstance(value, Mapping) else ()
