"""What we add to Dramatiq's workers."""

from __future__ import annotations

import logging

import dramatiq
from dramatiq import Worker
from dramatiq.middleware import Middleware

from workers.broker import LANES, QUICK, queue_name


class SlowLane(Middleware):
    """Gives slow calendars threads of their own, so that a dead server delays nobody's mail.

    Beside the process's worker, which then takes the quick queues, a second one takes the others. A worker that was
    told its queues (``dramatiq workers.main --queues …``) is left as it is.
    threads: of the second one. timeout: seconds that work in progress gets at the end.
    """

    def __init__(self, threads: int, timeout: float = 600) -> None:
        self._threads = threads
        self._timeout = timeout
        self._first: Worker | None = None
        self._second: Worker | None = None

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:
        """Part the queues."""
        if self._first is not None or worker.consumer_whitelist:
            return
        # Dramatiq warns of the second one; with disjoint queues it has no unexpected result.
        logging.getLogger(broker.logger.name).addFilter(_not_twice)
        self._first = worker
        worker.consumer_whitelist = {queue_name(broker, lane) for lane in QUICK}
        self._second = Worker(
            broker,
            queues={queue_name(broker, lane.name) for lane in LANES if lane.name not in QUICK},
            worker_threads=self._threads,
            worker_timeout=worker.worker_timeout,
        )

    def after_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002
        """Start the second when the first has started."""
        if worker is self._first and self._second is not None:
            self._second.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002
        """Stop the second with the first; both learn it at once, so that their idle times don't add up."""
        if worker is not self._first or self._second is None:
            return
        for each in (self._first, self._second):
            for thread in each.workers:
                thread.stop()
        self._second.stop(timeout=int(self._timeout * 1000))
        self._first = self._second = None


def _not_twice(record: logging.LogRecord) -> bool:
    return "same type twice" not in str(record.msg)
