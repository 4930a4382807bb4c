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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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


@dataclass(frozen=True)
class Facts:
    """What was learnt outside of the objects. Each value is what was found, or why it is not known (a text that begins with
    `?`); `same`: why one issuer does not make the clusters one for AWS, "" where it does; `associations`: those of green.
    """

    issuers: Mapping[str, str] = field(default_factory=dict)
    same: str = ""
    trusts: Mapping[str, Mapping[str, Any] | str] = field(default_factory=dict)
    providers: Mapping[str, frozenset[str] | str | None] = field(default_factory=dict)  # None: there is none
    associations: frozenset[str] | str = "?not asked"


async def learn(known: Known, blue: Kubernetes, green: Kubernetes, aws: Aws | None) -> Facts:
    """Asks the API servers and AWS, and only where blue has something to ask about. Raises nothing of what is not known."""
    accounts, pods = known.once(with_role), known.once(by_agent)
    if not accounts and not pods:
        return Facts()
    mine, theirs = await asyncio.gather(_try(blue.issuer), _try(green.issuer))
    issuers = {"blue": mine, "green": theirs}
    associations: frozenset[str] | str = "?AWS was not asked"
    region = EKS_ISSUER.fullmatch(theirs)
    if aws is not None and pods and region is not None:
        associations = await _try(lambda: aws.associations(green.name, region["region"]))
    if not accounts or (mine == theirs and not theirs.startswith("?")):
        same = await _other_keys(blue, green) if accounts else ""
        return Facts(issuers, same, associations=associations)
    trusts: dict[str, Mapping[str, Any] | str] = {}
    providers: dict[str, frozenset[str] | str | None] = {}
    for arn in sorted({account.role_arn for account in accounts}):
        role = Role.of(arn)
        if role is None:
            continue
        trusts[arn] = "?AWS was not asked" if aws is None else await _trust(aws, arn)
        if aws is None or isinstance(trusts[arn], str) or theirs.startswith("?"):
            continue
        provider = role.provider(theirs)
        if provider not in providers:
            providers[provider] = await _provider(aws, provider)
    return Facts(issuers, "", trusts, providers, associations)


async def _other_keys(blue: Kubernetes, green: Kubernetes) -> str:
    """AWS fetches the keys of an issuer from its URL: tokens of another cluster of that name are signed by others."""
    mine, theirs = await asyncio.gather(_try(blue.signing_keys), _try(green.signing_keys))
    if isinstance(mine, str) or isinstance(theirs, str):
        return str(mine if isinstance(mine, str) else theirs)
    return "" if theirs <= mine else "they sign with different keys"


async def _trust(aws: Aws, arn: str) -> Mapping[str, Any] | str:
    try:
        return await aws.trust(arn)
    except NotFound:
        return {}  # no role, no way in
    except BluegreenError as problem:
        return f"?{problem}"


async def _provider(aws: Aws, arn: str) -> frozenset[str] | str | None:
    try:
        return await aws.audiences(arn)
    except NotFound:
        return None
    except BluegreenError as problem:
        return f"?{problem}"


async def _try(ask: Callable[[], Any]) -> Any:
    try:
        return await ask()
    except BluegreenError as problem:
        return f"?{problem}"


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
    mine, theirs = facts.issuers.get("blue", "?"), facts.issuers.get("green", "?")
    name = known.green.name if known.green else "green"
    if mine == theirs and not theirs.startswith("?"):
        yield from _one_issuer(known, facts, theirs, name) if facts.same else ()
        return
    missing: dict[tuple[str, str], list[Account]] = {}
    for account in known.once(with_role):
        role = Role.of(account.role_arn)
        if role is None:
            remedy = f"write an ARN into its annotation {ROLE}: arn:aws:iam::ACCOUNT:role/NAME"
            yield _told(account, "unknown", f"its role {account.role_arn!r} is no ARN of an IAM role", remedy)
            continue
        known_issuer = not theirs.startswith("?")
        caller = Caller(theirs if known_issuer else "https://ISSUER", account.namespace, account.name, account.audience)
        add = f"add to the trust policy of {account.role_arn}: {trust.statement(role, caller)}"
        if not known_issuer:
            add += (
                f", where ISSUER is that of cluster {name}: `pulumi stack output oidcIssuer` of its stack, or "
                f"`aws eks describe-cluster --name {name} --query cluster.identity.oidc.issuer`"
            )
            evidence = f"role {account.role_arn}: cluster {name} does not tell its issuer of tokens: {theirs[1:]}"
            yield _told(account, "unknown", evidence, add)
            continue
        policy = facts.trusts.get(account.role_arn, "?not read")
        if isinstance(policy, str):
            evidence = (
                f"role {account.role_arn}: whether its trust policy has cluster {name}'s issuer {theirs} could not be read: "
                f"{policy[1:]}"
            )
            yield _told(account, "unknown", evidence, add)
            continue
        let_in = trust.admits(policy, role, caller)
        if let_in:
            provider = role.provider(theirs)
            audiences = facts.providers.get(provider, "?not read")
            if isinstance(audiences, str):
                missing.setdefault((provider, f"?whether there is one could not be read: {audiences[1:]}"), []).append(account)
            elif audiences is None:
                missing.setdefault((provider, "the account has none"), []).append(account)
            elif account.audience not in audiences:
                missing.setdefault((provider, f"it lacks the audience {account.audience}"), []).append(account)
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
    for (provider, why), accounts in sorted(missing.items()):
        names = ", ".join(account.object for account in accounts)
        yield Finding(
            "BG603",
            Severity.BLOCKING if any(account.used for account in accounts) else Severity.INFO,
            "unknown" if why.startswith("?") else "fail",
            provider,
            f"OIDC provider of cluster {name}'s issuer, needed by {names}: {why.removeprefix('?')}",
            _make_provider(provider, theirs, accounts[0].audience, there=why.startswith("it lacks")),
            DOCS["BG603"],
        )


def _one_issuer(known: Known, facts: Facts, issuer: str, name: str) -> Iterator[Finding]:
    """Both clusters call themselves by one URL, and that does not make them one."""
    for account in known.once(with_role):
        role = Role.of(account.role_arn)
        caller = Caller("https://ISSUER", account.namespace, account.name, account.audience)
        add = f" and add to the trust policy of {account.role_arn}: {trust.statement(role, caller)}" if role else ""
        status: Status = "unknown" if facts.same.startswith("?") else "fail"
        yield _told(
            account,
            status,
            f"role {account.role_arn}: both clusters have the issuer {issuer}, and "
            + (f"whether their keys are the same could not be read: {facts.same[1:]}" if status == "unknown" else facts.same),
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
    if not isinstance(facts.associations, str):
        there |= facts.associations
    name = known.green.name if known.green else "green"
    unseen = facts.associations[1:] if isinstance(facts.associations, str) else ""
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
