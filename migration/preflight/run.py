"""Looks at both clusters before anything is moved and tells what would go wrong.

Each check is a function over what was read, with the kinds it needs declared beside it: a kind that could not be listed
makes the check's answer `unknown`, never a pass. Findings are data (`model.Finding`); what is known and accepted is
waived by `ignore` in migration.yaml, by code (`BG301`) or by code and object (`BG301:Deployment shop/catalog`), and
stays visible.

BG0xx APIs, 1xx parity of the two clusters, 2xx capacity, 3xx workloads and routes, 4xx volumes, 5xx what must not run
twice, 6xx identities in AWS.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import routing
from migration.codes import DOCS
from migration.model import Finding, Severity
from migration.objects import kinds
from migration.objects.view import View
from migration.ownership.admission import nobody_answers
from migration.ownership.baseline import COMPARED_GROUPS
from migration.ownership.judge import going_namespaces, verdict
from migration.ownership.known import Known
from migration.ports import Aws, Reader
from migration.preflight import baseline, clusters, identity, replicated, workloads
from migration.preflight.check import Check, Scope
from migration.replicate.export import GREENS, both
from migration.replicate.unread import ROLE, by_cause
from migration.settings.choices import NOTHING_SAID, Choices

_WORKLOADS = ("deployments.apps", "statefulsets.apps", "daemonsets.apps")
_ROUTES = tuple(kind.resource.name for kind in routing.registered())
_GATEWAYS = tuple(dict.fromkeys(kind.gateway.name for kind in routing.registered()))
_ROUTED = ("services", *_ROUTES, *_WORKLOADS)
_CLASSES = clusters.CLASSES
_CLASSED = (*_CLASSES, "persistentvolumeclaims", "ingresses.networking.k8s.io", *_WORKLOADS)
CHECKS: tuple[Check, ...] = (
    Check("BG001", Severity.BLOCKING, clusters.removed_versions, ("*",)),
    Check("BG004", Severity.BLOCKING, clusters.unwritable, clusters.OLD_FORMS),
    Check("BG101", Severity.BLOCKING, clusters.missing_kinds, ("*", kinds.CRD.name)),
    Check("BG110", Severity.WARNING, clusters.dangling_classes, _CLASSED, _CLASSES),
    Check("BG111", Severity.WARNING, clusters.differing_classes, _CLASSES, _CLASSES),
    Check("BG120", Severity.BLOCKING, clusters.missing_gateways, (*_GATEWAYS, *_ROUTES), _GATEWAYS),
    Check("BG201", Severity.BLOCKING, clusters.node_capacity, ("pods",), ("pods", "nodes")),
    Check("BG202", Severity.WARNING, clusters.unmatched_selectors, _WORKLOADS, ("nodes",)),
    Check("BG301", Severity.WARNING, workloads.single_replicas, (*_ROUTED, "horizontalpodautoscalers.autoscaling")),
    Check("BG302", Severity.WARNING, workloads.blocking_budgets, ("poddisruptionbudgets.policy",)),
    Check("BG303", Severity.WARNING, workloads.missing_probes, _ROUTED),
    Check("BG304", Severity.WARNING, workloads.unmovable_routes, _ROUTES),
    Check("BG501", Severity.WARNING, workloads.leaders, ("leases.coordination.k8s.io",)),
    Check("BG502", Severity.INFO, workloads.schedules, ("cronjobs.batch",)),
    Check("BG503", Severity.WARNING, workloads.recreated, ("deployments.apps",)),
)
JUDGED = (replicated.CHECK, *baseline.CHECKS)


async def preflight(
    blue: Reader,
    green: Reader,
    *,
    ignore: Iterable[str] = (),
    singletons: Iterable[str] = (),
    choices: Choices | None = None,
    enrolled: Iterable[str] = (),
    aws: Aws | None = None,
) -> list[Finding]:
    """Findings of every check, worst first; empty only where everything could be read and nothing was found. `aws`: None
    where it is not to be asked; what only it could tell is then unknown.
    """
    wanted = frozenset(name for check in CHECKS for name in check.blue)
    wanted_green = frozenset(name for check in CHECKS for name in check.green)
    discovery = await green.discover()
    beside = {r.name for r in discovery.resources if r.group in COMPARED_GROUPS}
    greens = wanted_green | GREENS | identity.GREEN_KINDS | baseline.GREENS | beside
    mine, theirs = await both(blue, green, greens, wanted)
    known = Known(mine, theirs, choices or NOTHING_SAID, frozenset(enrolled), frozenset(singletons))
    facts = await identity.learn(known, blue, green, aws)
    checks = (*CHECKS, *identity.checks(known, facts))
    scope = Scope(
        singletons=known.singletons,
        going=known.once(going_namespaces),
        verdict=lambda obj, resource: verdict(obj, resource, known),
    )
    return judged(mine, theirs, scope, checks, ignore, known)


def judged(
    blue: View,
    green: View,
    scope: Scope,
    checks: Sequence[Check],
    ignore: Iterable[str] = (),
    known: Known | None = None,
) -> list[Finding]:
    """Pure: the checks over what was read, with waivers. `known`: what `replicate` would know, to tell what it asks."""
    findings: list[Finding] = [each for check in JUDGED for each in check.run(known)] if known is not None else []
    ignored = frozenset(ignore)
    lacking: dict[tuple[str, str], list[Check]] = defaultdict(list)  # (cluster, kind) -> the checks that cannot do without
    for check in checks:
        unread = _unread(check, blue, green)
        for kind in unread:
            lacking[kind].append(check)
        if not unread:
            findings += check.run(blue, green, scope)
    findings += _unknown(lacking, {view.name: view for view in (blue, green)}, ignored)
    for view in (blue, green):
        for group in view.discovery.stale:
            if view is blue and known is not None and nobody_answers(group, known):
                continue  # it has no server at all: it hides nothing, and is not made on green
            findings.append(
                Finding(
                    "BG003",
                    Severity.BLOCKING,
                    "unknown",
                    f"APIService {group}",
                    f"cluster {view.name}: its server does not answer, so its objects cannot be read",
                    "bring the server behind the APIService up, or delete the APIService",
                    DOCS["BG003"],
                )
            )
    order = {Severity.BLOCKING: 0, Severity.WARNING: 1, Severity.INFO: 2}
    states = {"fail": 0, "unknown": 0, "waived": 1}
    results = [_waived(finding, ignored) for finding in findings]
    return sorted(results, key=lambda f: (states[f.status], order[f.severity], f.code, f.object))


def _waived(finding: Finding, ignored: frozenset[str]) -> Finding:
    if finding.code in ignored or f"{finding.code}:{finding.object}" in ignored:
        return replace(finding, status="waived")
    return finding


def _unread(check: Check, blue: View, green: View) -> list[tuple[str, str]]:
    """(cluster, kind) of what this check needs and nobody could list."""
    lacking = []
    for view, names in ((blue, check.blue), (green, check.green)):
        lacking += [(view.name, kind) for kind in (view.problems if "*" in names else names) if kind in view.problems]
    return lacking


def _unknown(
    lacking: Mapping[tuple[str, str], Sequence[Check]], views: Mapping[str, View], ignored: frozenset[str]
) -> Iterator[Finding]:
    """One finding for the kinds of a cluster that could not be listed for one cause, as grave as the gravest check that needs
    one of them. Kinds of which all these checks are waived, or that are themselves (`BG002:secrets`), are a finding of their
    own, waived.
    """
    grave = (Severity.BLOCKING, Severity.WARNING, Severity.INFO)
    alike: dict[tuple[str, bool], dict[str, str]] = defaultdict(dict)  # (cluster, waived) -> kind -> its problem
    counted: dict[tuple[str, str], list[Check]] = {}
    for (cluster, kind), checks in lacking.items():
        by_name = f"BG002:{kind}" in ignored
        left = [c for c in checks if not (by_name or ignored & {c.code, f"{c.code}:{kind}"})]
        counted[cluster, kind] = left or list(checks)
        alike[cluster, not left][kind] = views[cluster].problems[kind].removeprefix(f"cluster {cluster}: ")
    for (cluster, waived), problems in sorted(alike.items()):
        for cause in by_cause(problems):
            kind, several = cause.kinds[0], len(cause.kinds) > 1
            codes = ", ".join(sorted({check.code for each in cause.kinds for check in lacking[cluster, each]}))
            name = kind
            evidence = f"cluster {cluster}: could not be listed, so {codes} are not known: {cause.why}"
            if several:
                name = f"{cause.user} on {cluster}" if cause.user else f"{kind} and {len(cause.kinds) - 1} more on {cluster}"
                evidence = f"cluster {cluster}: {cause.text}; so {codes} are not known"
            remedy = ROLE if several and cause.user else "let the user of this kubeconfig list it"
            yield Finding(
                "BG002",
                min((check.severity for each in cause.kinds for check in counted[cluster, each]), key=grave.index),
                "waived" if waived else "unknown",
                name,
                evidence,
                f"{remedy}, then run `bluegreen preflight` again",
                DOCS["BG002"],
            )
