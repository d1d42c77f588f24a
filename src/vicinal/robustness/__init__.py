"""Robustness: curves over ε, signs of masked gradients, and what mixup's theory says of it."""

from vicinal.robustness.curve import AccuracyCurve as AccuracyCurve
from vicinal.robustness.curve import Point as Point
from vicinal.robustness.curve import accuracy_curve as accuracy_curve
