"""Lossless `.env`: read what Compose reads, change one value and no other byte, say what is misread.

`scan` finds the statements, `expand` replaces variables, `model` is the file, `lint` the findings.
"""

from .lint import Finding, Reader, lint
from .model import EnvFile, Quoting
from .scan import Problem, Statement

__all__ = ["EnvFile", "Finding", "Problem", "Quoting", "Reader", "Statement", "lint"]
