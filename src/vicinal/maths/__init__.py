"""Laws of λ, losses, quadrature, intervals, and keyed random generators."""
