"""The images that are sent: made the same way each time, and of the sizes that are spoken of."""

import io
import random
from pathlib import Path

from PIL import Image

from qwen_vl.samples import CHELSEA

# Noise does not compress, and these sides keep it below what the model looks at: nothing is shrunk.
_NOISE_SIDES = {"12kB": 63, "90kB": 173, "400kB": 365, "1600kB": 730, "5MB": 1290, "6400kB": 1460}

PHOTO = "photo.jpg"
"""A photograph of 12 megapixels."""


def make_pictures(folder: Path) -> None:
    """Write all images: `90kB.png` and the like, and `PHOTO`.

    Args:
        folder: Where to.
    """
    for name, side in _NOISE_SIDES.items():
        noise = random.Random(7).randbytes(side * side * 3)  # noqa: S311 - no secret.
        image = Image.frombytes("RGB", (side, side), noise)
        image.save(folder / f"{name}.png", compress_level=1)
    (folder / PHOTO).write_bytes(_make_photo())


def _make_photo() -> bytes:
    with Image.open(CHELSEA) as cat:
        large = cat.convert("RGB").resize((4000, 3000), Image.Resampling.LANCZOS)
    # The grain of a camera's sensor, which is what makes real photographs as large as they are.
    grain = Image.effect_noise(large.size, 40).convert("RGB")
    file = io.BytesIO()
    Image.blend(large, grain, 0.35).save(file, "JPEG", quality=89)
    return file.getvalue()
