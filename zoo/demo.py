"""A page in the browser to try a model on, with Gradio (`pip install 'recurrent-zoo[demo]'`)."""

from __future__ import annotations

import os

from zoo import serving
from zoo.errors import ZooError


def page(name: str, example: str):
    """The Gradio interface of a model that takes text.

    Raises:
        ZooError: Gradio is not installed, or there is no such model.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
    except ImportError:
        raise ZooError("the demo needs Gradio: pip install 'recurrent-zoo[demo]'") from None
    model = serving.load(name)
    return gradio.Interface(
        fn=model,
        inputs=gradio.Textbox(lines=4, label="text"),
        outputs=gradio.JSON(label="answer"),
        examples=[example] if example else None,
        title=f"{model.card['task']}: {model.card['summary']}",
        flagging_mode="never",
        api_name="predict",
    )
