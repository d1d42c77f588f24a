"""What mixup adds to the loss: exactly, to second order, and by other expansions."""

from vicinal.explanation.expansions.expanded import Expanded as Expanded
from vicinal.explanation.expansions.masked import StrategyExpansion as StrategyExpansion
from vicinal.explanation.expansions.masked import expand_strategy as expand_strategy
from vicinal.explanation.expansions.noise import NoiseTerms as NoiseTerms
from vicinal.explanation.expansions.noise import expand_noise as expand_noise
from vicinal.explanation.expansions.shrunk import ShrunkExpansion as ShrunkExpansion
from vicinal.explanation.expansions.shrunk import expand_shrunk as expand_shrunk
from vicinal.explanation.recorder import Recorder as Recorder
from vicinal.explanation.risk import Estimate as Estimate
from vicinal.explanation.risk import vicinal_risk as vicinal_risk
from vicinal.explanation.streams.expand import expand_stream as expand_stream
from vicinal.explanation.streams.risk import risk_stream as risk_stream
from vicinal.explanation.summary import Example as Example
from vicinal.explanation.summary import Explanation as Explanation
from vicinal.explanation.summary import Point as Point
from vicinal.explanation.summary import explain as explain
from vicinal.explanation.terms import Expansion as Expansion
from vicinal.explanation.terms import Terms as Terms
from vicinal.explanation.terms import expand as expand
from vicinal.explanation.terms import taylor_terms as taylor_terms
