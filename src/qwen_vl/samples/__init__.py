"""Real images and a real video that ship with the package (licences in its README.md)."""

from pathlib import Path

_FOLDER = Path(__file__).parent

CHELSEA = _FOLDER / "chelsea.png"
"""A cat: PNG, 451x300 pixels."""

COFFEE = _FOLDER / "coffee.png"
"""A cup of coffee: PNG, 600x400 pixels."""

ROCKET = _FOLDER / "rocket.jpg"
"""A rocket launch: JPEG, 640x427 pixels."""

BIG_BUCK_BUNNY = _FOLDER / "bigbuckbunny.mp4"
"""An animated film's opening: MP4, 1280x720 pixels, 132 frames at 25 fps, 5.3 seconds."""
