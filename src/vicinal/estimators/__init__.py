"""Mixup for tables: scikit-learn estimators on the generalised linear families."""

from vicinal.estimators.classifier import MixupClassifier as MixupClassifier
from vicinal.estimators.regressor import MixupRegressor as MixupRegressor
