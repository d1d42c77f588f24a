"""Robustness: attacks, curves over ε, signs of masked gradients, and what mixup's theory says."""

from vicinal.robustness.attacks.adversarial import Adversarial as Adversarial
from vicinal.robustness.attacks.adversarial import (
    InterpolatedAdversarial as InterpolatedAdversarial,
)
from vicinal.robustness.attacks.apgd import apgd as apgd
from vicinal.robustness.attacks.fab import fab as fab
from vicinal.robustness.attacks.fgsm import fgsm as fgsm
from vicinal.robustness.attacks.fmn import fmn as fmn
from vicinal.robustness.attacks.nearest import Nearest as Nearest
from vicinal.robustness.attacks.noise import noise as noise
from vicinal.robustness.attacks.pgd import pgd as pgd
from vicinal.robustness.attacks.square import square as square
from vicinal.robustness.attacks.transfer import transfer as transfer
from vicinal.robustness.attacks.worst import Account as Account
from vicinal.robustness.attacks.worst import Attacked as Attacked
from vicinal.robustness.attacks.worst import worst_case as worst_case
from vicinal.robustness.curve import AccuracyCurve as AccuracyCurve
from vicinal.robustness.curve import Point as Point
from vicinal.robustness.curve import accuracy_curve as accuracy_curve
from vicinal.robustness.distances import Check as Check
from vicinal.robustness.distances import Distances as Distances
from vicinal.robustness.distances import PairedAccuracy as PairedAccuracy
from vicinal.robustness.distances import minimal_distances as minimal_distances
from vicinal.robustness.distances import paired_accuracy as paired_accuracy
from vicinal.robustness.masking import Masking as Masking
from vicinal.robustness.masking import masking as masking
from vicinal.robustness.signs import Sign as Sign
from vicinal.robustness.theory.bound import Condition as Condition
from vicinal.robustness.theory.bound import MixupBound as MixupBound
from vicinal.robustness.theory.bound import mixup_bound as mixup_bound
from vicinal.robustness.theory.linear import LinearBound as LinearBound
from vicinal.robustness.theory.linear import linear_adversarial_loss as linear_adversarial_loss
from vicinal.robustness.theory.linear import linear_bound as linear_bound
from vicinal.robustness.theory.second_order import adversarial_loss as adversarial_loss
