"""Boxes, points and timelines: asked for, read from answers, and drawn."""
