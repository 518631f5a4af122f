"""One alert rule.

Severity is the effect on the users of the services now, not the size of the fault:
    critical  a service has no ready replica, or nobody can tell or repair that; wake the person on call
    warning   the services work, but the next fault may hurt, or a change is not carried out; look today
    info      something is unreachable that no running container needs
`unless` silences a rule while the alert of its cause fires: one fault is one alert.
"""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert rule. `summary` names resource and state, `description` cause and remedy."""

    name: str
    """Without the prefix `Swarmkeeper`. Two rules with one name differ in severity."""
    expr: str
    wait: str = ""
    """Time for which the expression has to hold; empty: none."""
    severity: Literal["critical", "warning", "info"]
    summary: str
    description: str

    def rule(self, runbook: str) -> dict[str, Any]:
        """Return the rule as Prometheus reads it. `runbook` is the address of the runbook."""
        alert = f"Swarmkeeper{self.name}"
        return {
            "alert": alert,
            "expr": self.expr,
            **({"for": self.wait} if self.wait else {}),
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbook}#{alert.lower()}",
            },
        }
