"""Runs → comparison, terminal table, figures, one self-contained page. Imports no torch."""

from vicinal.report.comparison import Comparison as Comparison
from vicinal.report.comparison import compare as compare
from vicinal.report.pages.page import render as render
from vicinal.report.pages.page import write as write
from vicinal.report.terminal import summary as summary
from vicinal.report.words.findings import verdict as verdict
