"""The audit of someone's trained model: attacks, signs of masking, calibration, mixup's bound."""

from vicinal.audit.case import Case as Case
from vicinal.audit.run import audit as audit
from vicinal.audit.run import parts as parts
