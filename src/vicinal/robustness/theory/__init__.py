"""What theory says of robustness: the mixup bound, linear models, second order."""
