"""The checker of annotations: beartype, with ints allowed where floats are, as in PEP 484."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
