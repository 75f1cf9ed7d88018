"""A page in the browser to try a model on, with Gradio (`pip install 'recurrent-zoo[demo]'`)."""

from __future__ import annotations

import os
import pathlib
import tempfile

from zoo import serving
from zoo.clip_model import ClipModel
from zoo.errors import ZooError
from zoo.picture_model import PictureModel


def page(name: str, example: str):
    """The Gradio interface of a model that takes text, clips or pictures.

    Raises:
        ZooError: Gradio is not installed, there is no such model, or it takes features.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
    except ImportError:
        raise ZooError("the demo needs Gradio: pip install 'recurrent-zoo[demo]'") from None
    model = serving.load(name)
    if isinstance(model, ClipModel):
        parts = dict(fn=lambda path: _strip(model, path), inputs=gradio.Video(label="clip"), outputs=gradio.Image())
    elif isinstance(model, PictureModel):
        if model.takes_features:
            raise ZooError(f"{model.path}: this model takes features, not pictures; use it from Python")
        parts = dict(
            fn=lambda picture: "" if picture is None else model(picture)["text"],
            inputs=gradio.Image(label="picture", type="numpy"),
            outputs=gradio.Textbox(label="caption"),
        )
    else:
        parts = dict(
            fn=model,
            inputs=gradio.Textbox(lines=4, label="text"),
            outputs=gradio.JSON(label="answer"),
            examples=[example] if example else None,
        )
    title = f"{model.card['task']}: {model.card['summary']}"
    return gradio.Interface(**parts, title=title, flagging_mode="never", api_name="predict")


def _strip(model, path: str) -> str:
    """A picture of a clip's answer."""
    from zoo import clips, film

    clip = clips.load(path, labelled=False)
    picture = pathlib.Path(tempfile.mkdtemp()) / "strip.png"
    return str(film.draw(clip, model(clip.frames), model.card["labels"], picture))
