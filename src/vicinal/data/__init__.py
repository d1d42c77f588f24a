"""Data sets by name, split the same way for the same seed."""

from vicinal.data.builtin import LOADERS as LOADERS
from vicinal.data.groups import Leak as Leak
from vicinal.data.load import load as load
from vicinal.data.load import read as read
from vicinal.data.split import Part as Part
from vicinal.data.split import Split as Split
from vicinal.data.split import leak as leak
from vicinal.data.split import split as split
from vicinal.data.targets import Task as Task
