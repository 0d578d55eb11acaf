"""Take the pictures of the documentation: the report of the demo, light and dark.

harkd demo && python docs/pictures.py demo/report.html

Needs Chromium; set CHROMIUM if it is called otherwise.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 1180, 740
SCHEMES = {"report.png": "1", "report-dark.png": "0"}
"""Files, and Chromium's number for the colour scheme that a page asks about."""


def take(page: Path, scheme: str, picture: Path) -> None:
    """Draw the top of a page at twice the usual density, in at most 128 colours, which keeps it small and text sharp."""
    with TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        command = [
            os.environ.get("CHROMIUM", "chromium"),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-device-scale-factor=2",
            f"--blink-settings=preferredColorScheme={scheme}",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={shot}",
            page.resolve().as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        with Image.open(shot) as image:
            image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(picture, optimize=True)


def main() -> None:
    page = Path(sys.argv[1] if len(sys.argv) > 1 else "demo/report.html")
    IMAGES.mkdir(exist_ok=True)
    for name, scheme in SCHEMES.items():
        take(page, scheme, IMAGES / name)
        print(f"{IMAGES / name}: {(IMAGES / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
