"""How likely it is to see so many bad answers where nothing is wrong. Pure arithmetic; sums stop where terms no longer count.

Two questions: against a fixed rate (`tail`, binomial), and against what the other side answered (`two_sample`,
hypergeometric: given how many bad answers both sides gave together, how likely so many of them fall to one side by chance
alone). The second takes the other side's uncertainty along: twenty good answers are not a rate of zero.
"""

from __future__ import annotations

import math

SMALL = 1e-9  # of the sum: terms below it are left out


def tail(bad: int, requests: int, rate: float, enough: float = 1.0) -> float:
    """P(X >= bad) of a binomial: how likely so many bad answers are where each is bad with `rate`.

    Where only being below some alarm counts, `enough` is that alarm: the sum ends once it is above.
    """
    if bad <= 0:
        return 1.0
    if bad > requests or rate <= 0.0:
        return 0.0
    if rate >= 1.0 or bad <= requests * rate:
        return 1.0  # not above what is allowed; the exact number does not matter
    term = math.exp(_choose(requests, bad) + bad * math.log(rate) + (requests - bad) * math.log1p(-rate))
    ratio = rate / (1.0 - rate)
    total = 0.0
    for k in range(bad, requests + 1):
        total += term
        term *= (requests - k) / (k + 1) * ratio
        if term <= total * SMALL or total > enough:
            break
    return min(total, 1.0)


def two_sample(bad: int, requests: int, other_bad: int, other_requests: int, enough: float = 1.0) -> float:
    """P(X >= bad): how likely one side has so many of both sides' bad answers where both are equally good.

    1.0 where it has no more than its part, or where the other side has answered nothing: then nothing can be said.
    `enough` as in `tail`.
    """
    requests, other_requests = max(requests, bad), max(other_requests, other_bad)
    whole, all_bad = requests + other_requests, bad + other_bad
    if bad <= 0 or other_requests <= 0 or bad * whole <= all_bad * requests:
        return 1.0
    term = math.exp(_choose(requests, bad) + _choose(other_requests, other_bad) - _choose(whole, all_bad))
    total = 0.0
    for k in range(bad, min(all_bad, requests) + 1):
        total += term
        term *= (requests - k) * (all_bad - k) / ((k + 1) * (other_requests - all_bad + k + 1))
        if term <= total * SMALL or total > enough:
            break
    return min(total, 1.0)


def _choose(n: int, k: int) -> float:
    """Logarithm of n over k."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
