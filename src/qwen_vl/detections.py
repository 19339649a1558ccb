"""Boxes as `supervision.Detections`, which the field draws, counts and tracks with."""

from typing import Any

from qwen_vl.errors import MissingExtraError
from qwen_vl.grounding import Grounding


def to_detections(grounding: Grounding) -> Any:
    """Give the boxes of a picture as `supervision.Detections`.

    `class_name` has the labels, as supervision's own `Detections.from_vlm` gives them, and
    `class_id` numbers them in the order of the answer. There is no confidence: the models tell
    none. Points and turned corners have no place there.

    Args:
        grounding: What was found.

    Returns:
        A `supervision.Detections`.

    Raises:
        MissingExtraError: supervision is not installed.
    """
    try:
        import numpy as np  # noqa: PLC0415 - comes with the extra
        from supervision import Detections  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise MissingExtraError("Converting to Detections", extra="supervision") from error
    labels = [box.label for box in grounding.boxes]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    boxes = np.array([box.xyxy for box in grounding.boxes], dtype=float)
    return Detections(
        xyxy=boxes.reshape(-1, 4),
        class_id=np.array([numbers[label] for label in labels], dtype=int),
        data={"class_name": np.array(labels, dtype=str)},
    )
