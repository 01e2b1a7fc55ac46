"""What on this machine would cost samples: one check after the other, each finding with its remedy.

Reads the machine, never changes it, but for a file that the disk check writes and removes. Everything here blocks.
"""

from jackcapture.doctor.circumstances import Circumstances, JackFacts, StreamFacts
from jackcapture.doctor.examination import examine, report
from jackcapture.doctor.findings import Finding, Severity

__all__ = ["Circumstances", "Finding", "JackFacts", "Severity", "StreamFacts", "examine", "report"]
