"""Shapes are checked in every test: annotations are enforced by beartype."""

import jaxtyping
import pytest
import torch

torch.set_num_threads(1)  # tests run side by side; more threads than cores wait for each other
jaxtyping.install_import_hook("vicinal", "shapes.checked")


@pytest.fixture
def unchecked():
    """Users run without the checker, so errors that they see are tested without it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
