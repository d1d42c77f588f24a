"""Generalisation: the gap as measured, and the bound that mixup's regulariser leads to."""

from vicinal.generalization.bound import Bound as Bound
from vicinal.generalization.bound import glm_bound as glm_bound
from vicinal.generalization.gap import Gap as Gap
from vicinal.generalization.gap import SizePoint as SizePoint
from vicinal.generalization.gap import generalization_gap as generalization_gap
from vicinal.generalization.gap import size_curve as size_curve
from vicinal.generalization.glm import GlmRegulariser as GlmRegulariser
from vicinal.generalization.glm import Ranks as Ranks
from vicinal.generalization.glm import glm_complexity as glm_complexity
from vicinal.generalization.glm import glm_regulariser as glm_regulariser
from vicinal.generalization.glm import ranks as ranks
from vicinal.generalization.glm import retentive as retentive
from vicinal.generalization.hidden import HiddenBound as HiddenBound
from vicinal.generalization.hidden import hidden_bound as hidden_bound
from vicinal.generalization.hidden import hidden_complexity as hidden_complexity
from vicinal.generalization.hidden import hidden_regulariser as hidden_regulariser
from vicinal.generalization.trained import bound_of_trained as bound_of_trained
