"""Seeds of a property that chance decides: few in each run, the rest with `make test-long`."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet


def seeds(number: int, always: int = 1) -> list[ParameterSet]:
    """For `parametrize`: seeds 0 to `number` - 1, of which all but the first `always` are long."""
    return [pytest.param(seed, marks=[pytest.mark.long] if seed >= always else []) for seed in range(number)]
