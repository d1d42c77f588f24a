"""The command line: the one place where names become objects."""

from vicinal.cli.app import app as app
from vicinal.cli.app import main as main
