"""Calibration text: Fisher factors, which measure how much each weight matters."""
