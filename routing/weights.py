"""Shares in basis points to the whole numbers that a router takes, and back.

Sources: Route 53 weights are 0-255 (all zero means equal, not none); an ELBv2 forward action takes 0-999 per target
group.
"""

from __future__ import annotations

from collections.abc import Mapping

WHOLE_BP = 10_000
ROUTE53_MOST = 255
ELBV2_MOST = 999


def route53(shares_bp: Mapping[str, int]) -> dict[str, int]:
    """Weights of the record sets, one per name of `shares_bp`."""
    return nearest(shares_bp, ROUTE53_MOST)


def elbv2(shares_bp: Mapping[str, int]) -> dict[str, int]:
    """Weights of the target groups, one per name of `shares_bp`."""
    return nearest(shares_bp, ELBV2_MOST)


def nearest(shares_bp: Mapping[str, int], most: int) -> dict[str, int]:
    """The weights up to `most` whose shares are nearest to those asked for; smaller numbers where two are as near.

    A share of 0 has weight 0, and no other share has: what is asked for small gets the smallest there is.

    Raises:
        ValueError: no name, a negative share, or shares that do not add up to 10000.
    """
    if not shares_bp or min(shares_bp.values()) < 0 or sum(shares_bp.values()) != WHOLE_BP:
        raise ValueError(f"shares {dict(shares_bp)}: must be 0 to {WHOLE_BP} basis points that add up to {WHOLE_BP}")
    asked = {name: share for name, share in shares_bp.items() if share}
    best: dict[str, int] = {}
    best_off, best_total = 0, 0  # how far the worst share is off, as a fraction of whole numbers
    largest = max(asked.values())
    for top in range(1, most + 1):
        weights = {name: max(1, (2 * share * top + largest) // (2 * largest)) for name, share in asked.items()}
        total = sum(weights.values())
        off = max(abs(weights[name] * WHOLE_BP - share * total) for name, share in asked.items())
        if not best or off * best_total < best_off * total:
            best, best_off, best_total = weights, off, total
    return {name: best.get(name, 0) for name in shares_bp}


def effective_bp(weights: Mapping[str, int]) -> dict[str, int]:
    """What weights come to, rounded to basis points; all zero is an equal share of each."""
    total = sum(weights.values())
    if total == 0:
        return dict.fromkeys(weights, round(WHOLE_BP / len(weights))) if weights else {}
    return {name: round(WHOLE_BP * weight / total) for name, weight in weights.items()}
