"""The demonstration: LSRS and ISRS side by side on the embedded images."""

from latentsmooth.demo.run import DemoResult, DemoSettings, run_demo

__all__ = ["DemoResult", "DemoSettings", "run_demo"]
