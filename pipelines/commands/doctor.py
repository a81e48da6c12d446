"""`just doctor`: is everything that the collector needs as it should be?"""

from __future__ import annotations

import logging

from engine.log import setup_logging
from pipelines.doctor.examine import examine, situation_here
from pipelines.doctor.report import overall, print_report
from pipelines.reports.standing import EXIT_CODES


def doctor(*, json: bool = False) -> int:
    """Check key, network, clock, rights, disk, database, calendar and more, and say what to do.

    The exit code is 0 if all is well, 1 if something is wrong, 2 if something is unknown. The
    output contains no secrets: add it to every report of a fault.

    Parameters
    ----------
    json
        print one JSON object, for machines
    """
    setup_logging(handler=logging.NullHandler())  # each finding says it in its own words
    findings = examine(situation_here())
    print_report(findings, as_json=json)
    return EXIT_CODES[overall(findings)]
