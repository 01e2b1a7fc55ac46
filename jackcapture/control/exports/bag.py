"""Makes a bag of an export, so that it proves itself: anybody can check that nothing is missing or changed.

The library bagit has the last word: it checks the whole before it is given out. It does not make the bag: that would
change the working directory of the whole process, could not be cancelled, would read all bytes once more, and list the
tag files in the order of the directory, which is not the same each time.

Source: RFC 8493 (2018), "The BagIt File Packaging Format (V1.0)".
"""

import datetime
import hashlib
from collections.abc import Iterable

from jackcapture.control.exports.plan import Plan
from jackcapture.control.exports.targets import Target
from jackcapture.errors import JackCaptureError
from jackcapture.model.durations import SECOND_NS

PAYLOAD = "data/"
"""Where the files of an export lie in a bag."""


def add_tag_files(target: Target, plan: Plan, store_uuid: str) -> None:
    """Add what makes a bag of the files that a target has under PAYLOAD."""
    payload = list(target.written)
    date = datetime.datetime.fromtimestamp(plan.ended_at_ns // SECOND_NS, datetime.UTC).date()
    tags = {
        "Bag-Software-Agent": "jackcapture",
        "Bagging-Date": date.isoformat(),
        "External-Description": f"{plan.session.name}: a session recorded by jackcapture; {PAYLOAD}README.txt explains",
        "External-Identifier": f"{plan.session.id} of store {store_uuid}",
        "Payload-Oxum": f"{sum(file.bytes for file in payload)}.{len(payload)}",
    }
    tag_files = {
        "bag-info.txt": "".join(f"{label}: {value}\n" for label, value in sorted(tags.items())),
        "bagit.txt": "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "manifest-sha512.txt": _manifest((file.sha512, file.path) for file in payload),
    }
    tag_files["tagmanifest-sha512.txt"] = _manifest(
        (hashlib.sha512(text.encode()).hexdigest(), name) for name, text in sorted(tag_files.items())
    )
    for name, text in tag_files.items():
        target.add_bytes(name, text.encode())


def check_bag(folder: str) -> None:
    """Raise an error of ours unless bagit finds the bag in a folder complete."""
    import bagit  # noqa: PLC0415

    try:
        # Its hashes were made of what was read back; reading all of it a third time would show nothing more.
        bagit.Bag(folder).validate(completeness_only=True)
    except bagit.BagError as error:
        raise JackCaptureError(f"the bag in {folder} is not right: {error}") from error


def _manifest(entries: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{digest}  {path}\n" for digest, path in sorted(entries, key=lambda entry: entry[1]))
