"""Recurrent sequence models for Keras 3 / TensorFlow: small, measured, and loaded in one line.

    import zoo
    zoo.tasks()                                   # names, shapes, one line each
    model = zoo.load("sentiment")                 # the newest version in saved_models/, or a path to one
    model(["This is a terrible product."])        # a list, one dict per input
    model.card                                    # the model card, as a dict

Importing `zoo` doesn't import TensorFlow; loading a model does.
"""

from zoo.errors import ZooError
from zoo.task import tasks

__version__ = "0.1.0"
__all__ = ["ZooError", "load", "tasks"]


def load(name):
    """Load a SavedModel of the zoo; see `zoo.serving.load`."""
    from zoo import serving

    return serving.load(name)
