"""The tasks that the zoo's models are trained on."""
