"""Windows: a task of the Task Scheduler, from an XML file."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

from pipelines.service.job import DESCRIPTION, NAME, Job, ServiceFile, ServicePlan

_SPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_WAKE = "2026-01-01T08:15:00+09:00"  # each day: before the first open, wherever this machine is


def task_plan(job: Job, folder: Path) -> ServicePlan:
    """Return what makes the job a task; its XML is kept in the folder."""
    file = ServiceFile(folder / f"{NAME}.xml", task_xml(job))
    return ServicePlan(
        file,
        install=(
            ("schtasks", "/Create", "/TN", NAME, "/XML", str(file.path), "/F"),
            ("schtasks", "/Run", "/TN", NAME),
        ),
        optional=(),
        remove=(("schtasks", "/End", "/TN", NAME), ("schtasks", "/Delete", "/TN", NAME, "/F")),
        status=("schtasks", "/Query", "/TN", NAME, "/V", "/FO", "LIST"),
        log=None,
        notes=(
            "it runs while you are logged on (the screen may be locked): a task that runs without"
            " that needs your password in Windows, which this program does not ask for; to have it,"
            " choose “Run whether user is logged on or not” in the Task Scheduler",
            "each day at 08:15 in Seoul the machine is woken, if the power plan allows wake timers;"
            " while a session is collected it is kept awake, except with its lid closed",
        ),
    )


def task_xml(job: Job) -> bytes:
    """Return the task as XML in UTF-16, which is what schtasks reads."""
    task = ET.Element("Task", {"version": "1.4", "xmlns": _SPACE})
    about = ET.SubElement(task, "RegistrationInfo")
    _add(about, Description=DESCRIPTION, URI=f"\\{NAME}")
    triggers = ET.SubElement(task, "Triggers")
    _add(ET.SubElement(triggers, "LogonTrigger"), Enabled="true", UserId=job.user)
    each_day = ET.SubElement(triggers, "CalendarTrigger")
    _add(each_day, StartBoundary=_WAKE, Enabled="true")
    _add(ET.SubElement(each_day, "ScheduleByDay"), DaysInterval="1")
    principal = ET.SubElement(ET.SubElement(task, "Principals"), "Principal", {"id": "Author"})
    _add(principal, UserId=job.user, LogonType="InteractiveToken", RunLevel="LeastPrivilege")
    _add_settings(ET.SubElement(task, "Settings"))
    actions = ET.SubElement(task, "Actions", {"Context": "Author"})
    program, *arguments = job.command
    _add(
        ET.SubElement(actions, "Exec"),
        Command=program,
        Arguments=subprocess.list2cmdline(arguments),
        WorkingDirectory=str(job.folder),
    )
    ET.indent(task)
    return bytes(ET.tostring(task, encoding="utf-16", xml_declaration=True))


def _add_settings(settings: ET.Element) -> None:
    _add(
        settings,
        MultipleInstancesPolicy="IgnoreNew",  # the daily trigger only wakes the machine
        DisallowStartIfOnBatteries="false",
        StopIfGoingOnBatteries="false",
        StartWhenAvailable="true",
        RunOnlyIfNetworkAvailable="true",
        Enabled="true",
        WakeToRun="true",
        ExecutionTimeLimit="PT0S",  # none
        Priority="5",  # as what a user starts; a task has less by default
    )
    _add(ET.SubElement(settings, "RestartOnFailure"), Interval="PT1M", Count="999")


def _add(parent: ET.Element, **texts: str) -> None:
    for name, text in texts.items():
        ET.SubElement(parent, name).text = text
