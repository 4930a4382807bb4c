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
from migration.ports import Aws, Reader
from migration.preflight.check import Check, Scope
from migration.preflight.identities import ACCOUNTS, ROLE, Account, by_agent, through_agent, with_role

GREEN_KINDS = frozenset({ACCOUNTS, "pods"})
EKS_ISSUER = re.compile(r"https://oidc[.-]eks\.(?P<region>[a-z0-9-]+)\.[a-z.-]+/id/\w+")


Status = Literal["fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Unknown:
    """In place of what could not be learnt: why not."""

    why: str


NOT_ASKED = Unknown("not asked")
AWS_NOT_ASKED = Unknown("AWS was not asked")

Trust = Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """What was learnt outside of the objects. `issuers`: None where nobody needed them; `same_keys`: whether both clusters sign
    tokens with the same keys, asked where their issuers are one; `providers`: by ARN, the audiences of each, None: there is no
    such provider; `associations`: those of green.
    """

    issuers: tuple[str | Unknown, str | Unknown] | None = None  # of blue, of green
    same_keys: bool | Unknown = True
    trusts: Mapping[str, Trust | Unknown] = field(default_factory=dict)
    providers: Mapping[str, frozenset[str] | Unknown | None] = field(default_factory=dict)
    associations: frozenset[str] | Unknown = NOT_ASKED

    @property
    def one_issuer(self) -> str | None:
        """By which both clusters call themselves; None: each has its own, or it is not known."""
        return _shared(*self.issuers) if self.issuers else None


def _shared(mine: str | Unknown, theirs: str | Unknown) -> str | None:
    return theirs if isinstance(theirs, str) and mine == theirs else None


async def learn(known: Known, blue: Reader, green: Reader, aws: Aws | None) -> Facts:
    """Asks the API servers and AWS, and only where blue has something to ask about. Raises nothing of what is not known."""
    accounts, pods = known.once(with_role), known.once(by_agent)
    if not accounts and not pods:
        return Facts()
    mine, theirs = await asyncio.gather(_try(blue.issuer), _try(green.issuer))
    associations: frozenset[str] | Unknown = AWS_NOT_ASKED
    region = EKS_ISSUER.fullmatch(theirs) if isinstance(theirs, str) else None
    if aws is not None and pods and region is not None:
        associations = await _try(lambda: aws.associations(green.name, region["region"]))
    if not accounts or _shared(mine, theirs):
        same = await _same_keys(blue, green) if accounts else True
        return Facts((mine, theirs), same, associations=associations)
    trusts: dict[str, Trust | Unknown] = {}
    providers: dict[str, frozenset[str] | Unknown | None] = {}
    for arn in sorted({account.role_arn for account in accounts}):
        role = Role.of(arn)
        if role is None:
            continue
        trusts[arn] = AWS_NOT_ASKED if aws is None else await _trust(aws, arn)
        if aws is None or isinstance(trusts[arn], Unknown) or isinstance(theirs, Unknown):
            continue
        provider = role.provider(theirs)
        if provider not in providers:
            providers[provider] = await _provider(aws, provider)
    return Facts((mine, theirs), trusts=trusts, providers=providers, associations=associations)


async def _same_keys(blue: Reader, green: Reader) -> bool | Unknown:
    """AWS fetches the keys of an issuer from its URL: tokens of another cluster of that name are signed by others."""
    mine, theirs = await asyncio.gather(_try(blue.signing_keys), _try(green.signing_keys))
    for keys in (mine, theirs):
        if isinstance(keys, Unknown):
            return keys
    return bool(theirs <= mine)


async def _trust(aws: Aws, arn: str) -> Trust | Unknown:
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


async def _try(ask: Callable[[], Any]) -> Any:
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
    name = known.green.name if known.green else "green"
    if issuer := facts.one_issuer:
        yield from _one_issuer(known, facts.same_keys, issuer, name)
        return
    theirs = facts.issuers[1] if facts.issuers else NOT_ASKED
    missing: dict[tuple[str, Lack], list[Account]] = {}
    for account in known.once(with_role):
        role = Role.of(account.role_arn)
        if role is None:
            remedy = f"write an ARN into its annotation {ROLE}: arn:aws:iam::ACCOUNT:role/NAME"
            yield _role_finding(account, "unknown", f"its role {account.role_arn!r} is no ARN of an IAM role", remedy)
        elif isinstance(theirs, Unknown):
            yield _of_no_issuer(account, role, theirs, name)
        elif isinstance(lack := _lack(account, role, theirs, name, facts), Finding):
            yield lack
        elif lack is not None:
            missing.setdefault((role.provider(theirs), lack), []).append(account)
    if isinstance(theirs, str):
        yield from _providers(missing, theirs, name)


def _of_no_issuer(account: Account, role: Role, unknown: Unknown, name: str) -> Finding:
    add = (
        f"{_add(account, role, 'https://ISSUER')}, where ISSUER is that of cluster {name}: `pulumi stack output oidcIssuer` of "
        f"its stack, or `aws eks describe-cluster --name {name} --query cluster.identity.oidc.issuer`"
    )
    evidence = f"role {account.role_arn}: cluster {name} does not publish its issuer of tokens: {unknown.why}"
    return _role_finding(account, "unknown", evidence, add)


def _add(account: Account, role: Role, issuer: str) -> str:
    caller = Caller(issuer, account.namespace, account.name, account.audience)
    return f"add to the trust policy of {account.role_arn}: {trust.statement(role, caller)}"


@dataclass(frozen=True, order=True, slots=True)
class Lack:
    """What a provider lacks that a role lets in, and whether that is known; `exists`: there is a provider to add it to."""

    why: str
    known: bool = True
    exists: bool = False


def _lack(account: Account, role: Role, issuer: str, name: str, facts: Facts) -> Finding | Lack | None:
    """For what AWS would refuse one account: its role's policy (a finding), or the provider of green's issuer."""
    policy, add = facts.trusts.get(account.role_arn, Unknown("not read")), _add(account, role, issuer)
    about = f"role {account.role_arn}: "
    if isinstance(policy, Unknown):
        unread = f"whether its trust policy has cluster {name}'s issuer {issuer} could not be read: {policy.why}"
        return _role_finding(account, "unknown", about + unread, add)
    caller = Caller(issuer, account.namespace, account.name, account.audience)
    let_in = trust.admits(policy, role, caller)
    if let_in:
        return _of_provider(account, facts.providers.get(role.provider(issuer), Unknown("not read")))
    if let_in is None:
        unclear = f"its trust policy asks of issuer {issuer} what cannot be judged from here"
        return _role_finding(account, "unknown", about + unclear, f"see that it lets {caller.subject} in, else {add}")
    provider = role.provider(issuer)
    if facts.providers.get(provider, frozenset()) is None:
        add += f"; and make the provider: {_make_provider(provider, issuer, account.audience, exists=False)}"
    lacks = "there is no such role" if not policy else f"its trust policy does not let {caller.subject} of it in"
    return _role_finding(account, "fail", f"{about}cluster {name}'s issuer is {issuer}, and {lacks}", add)


def _of_provider(account: Account, audiences: frozenset[str] | Unknown | None) -> Lack | None:
    if isinstance(audiences, Unknown):
        return Lack(f"whether there is one could not be read: {audiences.why}", known=False)
    if audiences is None:
        return Lack("the account has none")
    if account.audience not in audiences:
        return Lack(f"it lacks the audience {account.audience}", exists=True)
    return None


def _providers(missing: Mapping[tuple[str, Lack], list[Account]], issuer: str, name: str) -> Iterator[Finding]:
    for (provider, lack), accounts in sorted(missing.items(), key=lambda each: each[0]):
        names = ", ".join(account.object for account in accounts)
        yield Finding(
            "BG603",
            Severity.BLOCKING if any(account.used for account in accounts) else Severity.INFO,
            "fail" if lack.known else "unknown",
            provider,
            f"OIDC provider of cluster {name}'s issuer, needed by {names}: {lack.why}",
            _make_provider(provider, issuer, accounts[0].audience, exists=lack.exists),
            DOCS["BG603"],
        )


def _one_issuer(known: Known, same_keys: bool | Unknown, issuer: str, name: str) -> Iterator[Finding]:
    """Both clusters call themselves by one URL, and that does not make them one."""
    if same_keys is True:
        return
    status: Status = "fail"
    why = "they sign with different keys"
    if isinstance(same_keys, Unknown):
        status, why = "unknown", f"whether their keys are the same could not be read: {same_keys.why}"
    for account in known.once(with_role):
        role = Role.of(account.role_arn)
        add = f" and {_add(account, role, 'https://ISSUER')}" if role else ""
        yield _role_finding(
            account,
            status,
            f"role {account.role_arn}: both clusters have the issuer {issuer}, and {why}",
            f"give cluster {name} an issuer of its own whose keys AWS can fetch (--service-account-issuer),{add}",
        )


def _make_provider(arn: str, issuer: str, audience: str, *, exists: bool) -> str:
    if exists:
        return f"aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn {arn} --client-id {audience}"
    return f"aws iam create-open-id-connect-provider --url {issuer} --client-id-list {audience}"


def _role_finding(account: Account, status: Status, evidence: str, remedy: str) -> Finding:
    severity = Severity.BLOCKING if account.used else Severity.INFO
    evidence = evidence if account.used else f"{evidence} (nothing on blue runs under it)"
    return Finding("BG601", severity, status, account.object, evidence, remedy, DOCS["BG601"])


def _associations(known: Known, facts: Facts) -> Iterator[Finding]:
    associated = set(through_agent(known.green)) if known.green else set()
    unknown = facts.associations if isinstance(facts.associations, Unknown) else None
    if not isinstance(facts.associations, Unknown):
        associated |= facts.associations
    name = known.green.name if known.green else "green"
    for full in known.once(by_agent):
        if full in associated:
            continue
        namespace, _, account = full.partition("/")
        evidence = "its pods on blue get their AWS role by Pod Identity, and an association belongs to one cluster; "
        evidence += f"cluster {name} " + (f"was not seen to have one: {unknown.why}" if unknown else "has none for it")
        of = f"--namespace {namespace} --service-account {account}"
        remedy = (
            f"aws eks create-pod-identity-association --cluster-name {name} {of} --role-arn ROLE, with the role of blue's: "
            f"aws eks list-pod-identity-associations --cluster-name {known.blue.name} {of}"
        )
        status: Status = "unknown" if unknown else "fail"
        yield Finding("BG602", Severity.BLOCKING, status, f"ServiceAccount {full}", evidence, remedy, DOCS["BG602"])
