"""Where each service of a run is, for all parts of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from migration.model import Phase, ServiceState


class Services:
    """Decisions change it (the loop), and proofs that a split is in effect; all others look."""

    def __init__(self) -> None:
        self._states: dict[str, ServiceState] = {}
        self.returned: dict[str, str] = {}  # why, of those that went back in this run

    @property
    def states(self) -> Mapping[str, ServiceState]:
        """By service, to be read only."""
        return self._states

    def __getitem__(self, service: str) -> ServiceState:
        return self._states[service]

    def become(self, states: Mapping[str, ServiceState]) -> None:
        """Takes over all states of a decision."""
        self._states = dict(states)

    def put(self, service: str, state: ServiceState) -> None:
        """Takes over one state."""
        self._states[service] = state

    def in_effect(self, service: str, split_bp: int, at: float) -> bool:
        """Both gateways serve this split. Whether that is news: it is what is written, and was not known."""
        state = self._states[service]
        if state.split_bp != split_bp or state.in_effect_at is not None:
            return False
        self.put(service, replace(state, in_effect_at=at))
        return True

    def splits(self) -> dict[str, int]:
        """Green's share by service, in basis points, as it is written."""
        return {service: state.split_bp for service, state in self._states.items()}

    def of(self, *phases: Phase) -> list[str]:
        """Services in one of these phases."""
        return [service for service, state in self._states.items() if state.phase in phases]

    def reasons(self, *phases: Phase) -> dict[str, str]:
        """By service in one of these phases, why it is where it is."""
        return {service: self._states[service].reason for service in self.of(*phases)}
