"""Calibration: do the probabilities of a model mean what they say?"""

from vicinal.calibration.classes import Classwise as Classwise
from vicinal.calibration.classes import ClasswiseSums as ClasswiseSums
from vicinal.calibration.classes import classwise as classwise
from vicinal.calibration.entries import calibration_of_positive as calibration_of_positive
from vicinal.calibration.entries import calibration_of_prediction as calibration_of_prediction
from vicinal.calibration.entries import calibration_of_probabilities as calibration_of_probabilities
from vicinal.calibration.intervals import bootstrap as bootstrap
from vicinal.calibration.intervals import paired_bootstrap as paired_bootstrap
from vicinal.calibration.measure import CalibrationSums as CalibrationSums
from vicinal.calibration.measure import calibration as calibration
from vicinal.calibration.record import Bin as Bin
from vicinal.calibration.record import Calibration as Calibration
from vicinal.calibration.rescaling import Rescaled as Rescaled
from vicinal.calibration.scaling import Recalibrated as Recalibrated
from vicinal.calibration.scaling import Scaling as Scaling
from vicinal.calibration.scaling import fit_platt as fit_platt
from vicinal.calibration.scaling import fit_temperature as fit_temperature
from vicinal.calibration.scaling import fit_vector as fit_vector
from vicinal.calibration.scaling import recalibrated as recalibrated
from vicinal.calibration.smooth import SmoothSums as SmoothSums
from vicinal.calibration.smooth import smooth_ece as smooth_ece
from vicinal.calibration.values import Coverage as Coverage
from vicinal.calibration.values import coverage as coverage
