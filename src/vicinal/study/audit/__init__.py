"""The audit of someone's trained model: attacks, signs of masking, calibration, mixup's bound."""

from vicinal.study.audit.case import Case as Case
from vicinal.study.audit.run import audit as audit
from vicinal.study.audit.run import parts as parts
