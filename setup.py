"""Builds the real-time core; everything else about the package is in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["jackcapture/engine/rt_build.py:ffibuilder"])
