"""Decisions: pure functions of a job and what happened to it; no clock, no dice, no I/O."""
