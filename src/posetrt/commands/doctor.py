"""Say what this machine has, what is missing, what that stops, and the command that fixes it.

Exit code 1 where people cannot be found on this machine at all, and on a Jetson whose OpenCV has no GStreamer.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

SUMMARY = "what this machine has, what is missing, and the command that fixes it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt doctor`."""
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="a model folder: also say what its INT8 costs")
    parser.add_argument("--json", action="store_true", help="for machines, on stdout")
    parser.add_argument(
        "--restore-power", action="store_true", help="put back the power mode that a killed benchmark left changed (needs root), then stop"
    )


def run(args: argparse.Namespace) -> int:
    """Examine and print."""
    from posetrt.doctor import Finding, can_run, examine, model_findings, verdict
    from posetrt.jetson.power import restore

    if args.restore_power:
        before = restore()
        print(f"the power mode {before.mode} is back" if before else "no benchmark has left a power mode changed")
        return 0
    findings = [*examine(), *(model_findings(args.folder) if args.folder is not None else [])]
    if args.json:
        print(json.dumps([asdict(finding) for finding in [*findings, Finding("verdict", verdict(findings))]], indent=1))
        return 0 if can_run(findings) else 1
    for finding in findings:
        mark = "missing" if finding.found is None else "look" if finding.remedy else "ok"
        print(f"{mark:<8} {finding.what:<14} {finding.found or ''}")
        if finding.stops:
            print(f"{'':<8} {'':<14} stops: {finding.stops}")
        if finding.remedy:
            print(f"{'':<8} {'':<14} fix:   {finding.remedy}")
    print(f"\n{verdict(findings)}")
    return 0 if can_run(findings) else 1
