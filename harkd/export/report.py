"""`REPORT.md`: what an export is and was found to be, for the people who put it on a device."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harkd.export.manifest import Manifest


def markdown(manifest: Manifest, verification: Any) -> str:
    """The report as Markdown. Equal exports give equal text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template("report.md.j2").render(
        manifest=manifest,
        verification=verification,
        failed=[check for check in verification.checks if not check.passed],
        int8=next((file for file in manifest.files if file.scale), None),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
