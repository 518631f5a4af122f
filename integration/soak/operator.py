"""The operator of a soak: asks again when etcdctl met a member that hangs, or an election."""

from integration.cluster import Cluster
from integration.lab.errors import LabError
from integration.lab.eventually import eventually

PATIENCE_S = 90


class PatientCluster(Cluster):
    """A cluster whose etcdctl is repeated until it succeeds. A document put twice is the same document."""

    def etcdctl(self, *argv: str, document: str | None = None) -> str:
        """As it is; LabError only after PATIENCE_S."""

        def ask() -> tuple[str]:
            try:
                return (super(PatientCluster, self).etcdctl(*argv, document=document),)
            except LabError as error:
                raise OSError(str(error)) from error

        return eventually(ask, PATIENCE_S, f"etcdctl {argv[0]}")[0]
