"""Images of what was found: boxes and points on an image, and a frame for each event of a video.

Drawn with Pillow, which is there anyway: supervision, which draws boxes too, brings 110 MB of SciPy
and Matplotlib, and no font. Nothing here asks an endpoint.
"""

from qwen_vl.grounding.drawing.boxes import draw_grounding
from qwen_vl.grounding.drawing.fonts import find_font
from qwen_vl.grounding.drawing.storyboard import draw_timeline

__all__ = ["draw_grounding", "draw_timeline", "find_font"]
