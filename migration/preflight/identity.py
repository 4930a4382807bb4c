"""Which ServiceAccounts would get no AWS role on green, though they have one on blue.

A role for a ServiceAccount (IRSA) is bound to a cluster twice over: the role's trust policy names the cluster's OIDC issuer,
and the account has an OIDC provider for that issuer. A Pod Identity association belongs to one cluster. None of the three
is an object of Kubernetes, so a copy brings none of them, and every call of AWS from green's pods is refused.

What is read: blue's ServiceAccounts, what runs under them, both clusters' issuers (each API server tells its own), and of
AWS, where it can be asked, trust policies, providers and associations. What cannot be read is unknown, with what to add.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from migration.codes import DOCS
from migration.errors import BluegreenError, NotFound
from migration.model import Finding, Severity
from migration.objects import trust
from migration.objects.trust import Caller, Role
from migration.objects.view import View
from migration.ownership.known import Known
from migration.ports import Aws, Kubernetes
from migration.preflight.check import Check, Scope
from migration.preflight.identities import ACCOUNTS, ROLE, Account, by_agent, through_agent, with_role

GREEN_KINDS = frozenset({ACCOUNTS, "pods"})
EKS_ISSUER = re.compile(r"https://oidc[.-]eks\.(?P<region>[a-z0-9-]+)\.[a-z.-]+/id/\w+")


Status = Literal["fail", "unknown"]
T = TypeVar("T")


@dataclass(frozen=True)
class Unknown:
    """Why something could not be read."""

    why: str


NOT_READ = Unknown("not read")
NOT_ASKED = Unknown("AWS was not asked")


@dataclass(frozen=True)
class Facts:
    """What was learnt outside of the objects. `same`: why one issuer does not make the clusters one for AWS, "" where it does;
    `associations`: those of green.
    """

    issuers: Mapping[str, str | Unknown] = field(default_factory=dict)
    same: str | Unknown = ""
    trusts: Mapping[str, Mapping[str, Any] | Unknown] = field(default_factory=dict)
    providers: Mapping[str, frozenset[str] | Unknown | None] = field(default_factory=dict)  # None: there is none
    associations: frozenset[str] | Unknown = Unknown("not asked")


@dataclass(frozen=True, order=True)
class _Gap:
    """What green's issuer lacks in the account. `known`: that it is so; `there`: the provider is, without the audience."""

    provider: str
    known: bool
    why: str
    there: bool = False


async def learn(known: Known, blue: Kubernetes, green: Kubernetes, aws: Aws | None) -> Facts:
    """Asks the API servers and AWS, and only where blue has something to ask about. Raises nothing of what is not known."""
    accounts, pods = known.once(with_role), known.once(by_agent)
    if not accounts and not pods:
        return Facts()
    mine, theirs = await asyncio.gather(_try(blue.issuer), _try(green.issuer))
    issuers = {"blue": mine, "green": theirs}
    associations: frozenset[str] | Unknown = NOT_ASKED
    region = EKS_ISSUER.fullmatch(theirs) if isinstance(theirs, str) else None
    if aws is not None and pods and region is not None:
        associations = await _try(lambda: aws.associations(green.name, region["region"]))
    if not accounts or (mine == theirs and isinstance(theirs, str)):
        same = await _other_keys(blue, green) if accounts else ""
        return Facts(issuers, same, associations=associations)
    trusts: dict[str, Mapping[str, Any] | Unknown] = {}
    providers: dict[str, frozenset[str] | Unknown | None] = {}
    for arn in sorted({account.role_arn for account in accounts}):
        role = Role.of(arn)
        if role is None:
            continue
        trusts[arn] = NOT_ASKED if aws is None else await _trust(aws, arn)
        if aws is None or isinstance(trusts[arn], Unknown) or isinstance(theirs, Unknown):
            continue
        provider = role.provider(theirs)
        if provider not in providers:
            providers[provider] = await _provider(aws, provider)
    return Facts(issuers, "", trusts, providers, associations)


async def _other_keys(blue: Kubernetes, green: Kubernetes) -> str | Unknown:
    """AWS fetches the keys of an issuer from its URL: tokens of another cluster of that name are signed by others."""
    mine, theirs = await asyncio.gather(_try(blue.signing_keys), _try(green.signing_keys))
    if isinstance(mine, Unknown):
        return mine
    if isinstance(theirs, Unknown):
        return theirs
    return "" if theirs <= mine else "they sign with different keys"


async def _trust(aws: Aws, arn: str) -> Mapping[str, Any] | Unknown:
    try:
        return await aws.trust(arn)
    except NotFound:
        return {}  # no role, no way in
    except BluegreenError as problem:
        return Unknown(str(problem))


async def _provider(aws: Aws, arn: str) -> frozenset[str] | Unknown | None:
    try:
        return await aws.audiences(arn)
    except NotFound:
        return None
    except BluegreenError as problem:
        return Unknown(str(problem))


async def _try(ask: Callable[[], Awaitable[T]]) -> T | Unknown:
    try:
        return await ask()
    except BluegreenError as problem:
        return Unknown(str(problem))


# -- what is told ------------------------------------------------------------------------------------------------------


def checks(known: Known, facts: Facts) -> tuple[Check, ...]:
    """The checks of identities over what was learnt."""

    def roles(blue: View, green: View, scope: Scope) -> Iterator[Finding]:
        return _roles(known, facts)

    def associations(blue: View, green: View, scope: Scope) -> Iterator[Finding]:
        return _associations(known, facts)

    return (
        Check("BG601", Severity.BLOCKING, roles, (ACCOUNTS,), (ACCOUNTS,)),
        Check("BG602", Severity.BLOCKING, associations, ("pods",)),
    )


def _roles(known: Known, facts: Facts) -> Iterator[Finding]:
    mine, theirs = facts.issuers.get("blue", Unknown("")), facts.issuers.get("green", Unknown(""))
    name = known.green.name if known.green else "green"
    if mine == theirs and isinstance(theirs, str):
        yield from _one_issuer(known, facts, theirs, name) if facts.same else ()
        return
    missing: dict[_Gap, list[Account]] = {}
    for account in known.once(with_role):
        role = Role.of(account.role_arn)
        if role is None:
            remedy = f"write an ARN into its annotation {ROLE}: arn:aws:iam::ACCOUNT:role/NAME"
            yield _told(account, "unknown", f"its role {account.role_arn!r} is no ARN of an IAM role", remedy)
            continue
        caller = Caller(
            theirs if isinstance(theirs, str) else "https://ISSUER", account.namespace, account.name, account.audience
        )
        add = f"add to the trust policy of {account.role_arn}: {trust.statement(role, caller)}"
        if isinstance(theirs, Unknown):
            add += (
                f", where ISSUER is that of cluster {name}: `pulumi stack output oidcIssuer` of its stack, or "
                f"`aws eks describe-cluster --name {name} --query cluster.identity.oidc.issuer`"
            )
            evidence = f"role {account.role_arn}: cluster {name} does not tell its issuer of tokens: {theirs.why}"
            yield _told(account, "unknown", evidence, add)
            continue
        policy = facts.trusts.get(account.role_arn, NOT_READ)
        if isinstance(policy, Unknown):
            evidence = (
                f"role {account.role_arn}: whether its trust policy has cluster {name}'s issuer {theirs} could not be read: "
                f"{policy.why}"
            )
            yield _told(account, "unknown", evidence, add)
            continue
        let_in = trust.admits(policy, role, caller)
        if let_in:
            provider = role.provider(theirs)
            if gap := _gap(provider, facts.providers.get(provider, NOT_READ), account.audience):
                missing.setdefault(gap, []).append(account)
            continue
        if let_in is None:
            evidence = f"role {account.role_arn}: its trust policy asks of issuer {theirs} what cannot be judged from here"
            yield _told(account, "unknown", evidence, f"see that it lets {caller.subject} in, else {add}")
            continue
        provider = role.provider(theirs)
        if provider in facts.providers and facts.providers[provider] is None:
            add += f"; and make the provider: {_make_provider(provider, theirs, account.audience, there=False)}"
        lacks = "there is no such role" if not policy else f"its trust policy does not let {caller.subject} of it in"
        evidence = f"role {account.role_arn}: cluster {name}'s issuer is {theirs}, and {lacks}"
        yield _told(account, "fail", evidence, add)
    for gap, accounts in sorted(missing.items()):
        names = ", ".join(account.object for account in accounts)
        yield Finding(
            "BG603",
            Severity.BLOCKING if any(account.used for account in accounts) else Severity.INFO,
            "fail" if gap.known else "unknown",
            gap.provider,
            f"OIDC provider of cluster {name}'s issuer, needed by {names}: {gap.why}",
            _make_provider(gap.provider, str(theirs), accounts[0].audience, there=gap.there),
            DOCS["BG603"],
        )


def _gap(provider: str, audiences: frozenset[str] | Unknown | None, audience: str) -> _Gap | None:
    """None: tokens for this audience are taken."""
    if isinstance(audiences, Unknown):
        return _Gap(provider, known=False, why=f"whether there is one could not be read: {audiences.why}")
    if audiences is None:
        return _Gap(provider, known=True, why="the account has none")
    if audience not in audiences:
        return _Gap(provider, known=True, why=f"it lacks the audience {audience}", there=True)
    return None


def _one_issuer(known: Known, facts: Facts, issuer: str, name: str) -> Iterator[Finding]:
    """Both clusters call themselves by one URL, and that does not make them one."""
    for account in known.once(with_role):
        role = Role.of(account.role_arn)
        caller = Caller("https://ISSUER", account.namespace, account.name, account.audience)
        add = f" and add to the trust policy of {account.role_arn}: {trust.statement(role, caller)}" if role else ""
        same = facts.same
        yield _told(
            account,
            "unknown" if isinstance(same, Unknown) else "fail",
            f"role {account.role_arn}: both clusters have the issuer {issuer}, and "
            + (f"whether their keys are the same could not be read: {same.why}" if isinstance(same, Unknown) else same),
            f"give cluster {name} an issuer of its own whose keys AWS can fetch (--service-account-issuer),{add}",
        )


def _make_provider(arn: str, issuer: str, audience: str, *, there: bool) -> str:
    if there:
        return f"aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn {arn} --client-id {audience}"
    return f"aws iam create-open-id-connect-provider --url {issuer} --client-id-list {audience}"


def _told(account: Account, status: Status, evidence: str, remedy: str) -> Finding:
    severity = Severity.BLOCKING if account.used else Severity.INFO
    evidence = evidence if account.used else f"{evidence} (nothing on blue runs under it)"
    return Finding("BG601", severity, status, account.object, evidence, remedy, DOCS["BG601"])


def _associations(known: Known, facts: Facts) -> Iterator[Finding]:
    there = set(through_agent(known.green)) if known.green else set()
    if not isinstance(facts.associations, Unknown):
        there |= facts.associations
    name = known.green.name if known.green else "green"
    unseen = facts.associations.why if isinstance(facts.associations, Unknown) else ""
    for full in known.once(by_agent):
        if full in there:
            continue
        namespace, _, account = full.partition("/")
        evidence = "its pods on blue get their AWS role by Pod Identity, and an association belongs to one cluster; "
        evidence += f"cluster {name} " + (f"was not seen to have one: {unseen}" if unseen else "has none for it")
        of = f"--namespace {namespace} --service-account {account}"
        remedy = (
            f"aws eks create-pod-identity-association --cluster-name {name} {of} --role-arn ROLE, with the role of blue's: "
            f"aws eks list-pod-identity-associations --cluster-name {known.blue.name} {of}"
        )
        status: Status = "unknown" if unseen else "fail"
        yield Finding("BG602", Severity.BLOCKING, status, f"ServiceAccount {full}", evidence, remedy, DOCS["BG602"])
