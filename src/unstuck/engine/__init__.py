"""Loops: what workers and supervisors do, over and over, through storage's promises."""
