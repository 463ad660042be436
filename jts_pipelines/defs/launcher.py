"""Starts runs in the code server, and notices those that ended with it.

Dagster's own launcher cannot tell whether a run still works: one whose code server was killed
would stay "started" for ever, keep its place in the queue, and stop all moves. The code server
knows its runs, and it answers about them.
"""

from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, with an answer for run monitoring."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: run monitoring asks about every started run."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Ask the code server that started a run whether it still runs there.

        Returns:
            `NOT_FOUND` when the server does not know it: another one has taken its place.
            `RUNNING` also while the server does not answer, because it may be starting; a run that
            has ended in the meantime has said so itself before its process ended.
        """
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]  # Dagster left it unannotated
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "no code server is noted yet")
        request = CanCancelExecutionRequest(run_id=run.run_id)
        try:
            answer = client.can_cancel_execution(request)
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "the code server does not answer")
        if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its code server was replaced")
