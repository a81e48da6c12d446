"""Windows: two tasks of the Task Scheduler, each from an XML file.

The Scheduler does not look at how a program ended, so it starts none again after a fault: a trigger
every few minutes does, of which nothing comes while the collector runs. What wakes the machine is a
task of its own, or it would be woken every few minutes.
"""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

from pipelines.service.job import DESCRIPTION, NAME, Job, ServiceFile, ServicePlan

_SPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_DAY = "2026-01-01T08:15:00+09:00"  # each day: before the first open, wherever this machine is
_AGAIN = "PT5M"  # between two starts
WAKE = f"{NAME}-wake"


def task_plan(job: Job, folder: Path) -> ServicePlan:
    """Return what makes the job a task, with one that wakes for it; their XML is in the folder."""
    file = ServiceFile(folder / f"{NAME}.xml", task_xml(job))
    wake = ServiceFile(folder / f"{WAKE}.xml", wake_xml(job))
    end = ("schtasks", "/End", "/TN", NAME)
    return ServicePlan(
        file,
        install=(
            ("schtasks", "/Create", "/TN", NAME, "/XML", str(file.path), "/F"),
            ("schtasks", "/Create", "/TN", WAKE, "/XML", str(wake.path), "/F"),
            ("schtasks", "/Run", "/TN", NAME),
        ),
        optional=(),
        remove=(
            ("schtasks", "/Delete", "/TN", WAKE, "/F"),
            ("schtasks", "/Change", "/TN", NAME, "/DISABLE"),  # or it would be started once more
            end,
            ("schtasks", "/Delete", "/TN", NAME, "/F"),
        ),
        status=("schtasks", "/Query", "/TN", NAME, "/V", "/FO", "LIST"),
        log=None,
        notes=(
            "it runs while you are logged on (the screen may be locked): a task that runs without"
            " that needs your password in Windows, which this program does not ask for; to have it,"
            " choose “Run whether user is logged on or not” in the Task Scheduler",
            "each day at 08:15 in Seoul the machine is woken, if the power plan allows wake timers;"
            " two hours before a session and in it it is kept awake, except with its lid closed",
            "after a fault it is started again within five minutes",
        ),
        others=(wake,),
        stop=(end,),
    )


def task_xml(job: Job) -> bytes:
    """Return the collector's task as XML in UTF-16, which is what schtasks reads."""
    triggers = ET.Element("Triggers")
    _add(ET.SubElement(triggers, "LogonTrigger"), Enabled="true", UserId=job.user)
    each_day = ET.SubElement(triggers, "CalendarTrigger")
    _add(
        ET.SubElement(each_day, "Repetition"),
        Interval=_AGAIN,
        Duration="P1D",
        StopAtDurationEnd="false",
    )
    _add_day(each_day)
    return _task(job, NAME, DESCRIPTION, triggers, job.command, wakes=False)


def wake_xml(job: Job) -> bytes:
    """Return the task that wakes the machine and does nothing: the collector runs already."""
    triggers = ET.Element("Triggers")
    _add_day(ET.SubElement(triggers, "CalendarTrigger"))
    nothing = (job.command[0], "-c", "pass")
    about = "Wakes this machine before the Korean market opens"
    return _task(job, WAKE, about, triggers, nothing, wakes=True)


def _add_day(trigger: ET.Element) -> None:
    _add(trigger, StartBoundary=_DAY, Enabled="true")
    _add(ET.SubElement(trigger, "ScheduleByDay"), DaysInterval="1")


def _task(
    job: Job,
    name: str,
    description: str,
    triggers: ET.Element,
    command: tuple[str, ...],
    *,
    wakes: bool,
) -> bytes:
    task = ET.Element("Task", {"version": "1.4", "xmlns": _SPACE})
    about = ET.SubElement(task, "RegistrationInfo")
    _add(about, Description=description, URI=f"\\{name}")
    task.append(triggers)
    principal = ET.SubElement(ET.SubElement(task, "Principals"), "Principal", {"id": "Author"})
    _add(principal, UserId=job.user, LogonType="InteractiveToken", RunLevel="LeastPrivilege")
    _add_settings(ET.SubElement(task, "Settings"), wakes=wakes)
    actions = ET.SubElement(task, "Actions", {"Context": "Author"})
    program, *arguments = command
    _add(
        ET.SubElement(actions, "Exec"),
        Command=program,
        Arguments=subprocess.list2cmdline(arguments),
        WorkingDirectory=str(job.folder),
    )
    ET.indent(task)
    return bytes(ET.tostring(task, encoding="utf-16", xml_declaration=True))


def _add_settings(settings: ET.Element, *, wakes: bool) -> None:
    _add(
        settings,
        MultipleInstancesPolicy="IgnoreNew",
        DisallowStartIfOnBatteries="false",
        StopIfGoingOnBatteries="false",
        StartWhenAvailable="true",
        RunOnlyIfNetworkAvailable="false",  # the collector itself waits for the network
        Enabled="true",
        WakeToRun="true" if wakes else "false",
        ExecutionTimeLimit="PT0S",  # none
        Priority="5",  # as what a user starts; a task has less by default
    )
    # Of a start that came to nothing, not of a program that ended; 255 is the most.
    _add(ET.SubElement(settings, "RestartOnFailure"), Interval="PT1M", Count="255")


def _add(parent: ET.Element, **texts: str) -> None:
    for name, text in texts.items():
        ET.SubElement(parent, name).text = text
