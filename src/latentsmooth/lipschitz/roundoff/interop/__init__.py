"""Rounding of other libraries' layers, loaded when one of their modules is met."""
