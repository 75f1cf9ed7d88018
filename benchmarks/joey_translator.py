"""The translation bench's peer: JoeyNMT's recurrent encoder-decoder (Kreutzer, Bastings & Riezler 2019).

Its own model, loss, optimizer, clipping and beam search. JoeyNMT 2.3 asks for protobuf below 3.21, where TensorFlow
needs 6.31, and does not ask for importlib_metadata, which it imports. It works with TensorFlow's protobuf; `INSTALL`
leaves that in place.
"""

from __future__ import annotations

import logging

from benchmarks import torch_translator

INSTALL = (
    "pip install importlib_metadata sentencepiece pyyaml && pip install --no-deps joeynmt==2.3.0 subword-nmt==0.3.8"
)


def timers(sizes, batches):
    """A translator in a process of its own, initialised at random: see `torch_translator.timers`.

    Where `tied`, source and target share an embedding, and the output layer shares it too if decoder_units =
    embedding_dim: JoeyNMT has no projection in between.
    """
    return torch_translator.timers(sizes, batches, _translator)


def _translator(torch, batches, learning_rate, clip_norm, **sizes):
    logging.disable(logging.INFO)
    from joeynmt.batch import Batch
    from joeynmt.builders import build_gradient_clipper, build_optimizer
    from joeynmt.search import search

    model = _model(**sizes)
    optimizer = build_optimizer({"optimizer": "adam", "learning_rate": learning_rate}, model.parameters())
    clip = build_gradient_clipper({"clip_grad_val": None, "clip_grad_norm": clip_norm})

    def ids(array):
        tensor = torch.as_tensor(array).long()
        return torch.where(tensor < 2, 1 - tensor, tensor)  # its 0 is the unknown, its 1 the padding

    def prepared(source, target=None):
        lengths, order = (source != model.pad_index).sum(1), torch.arange(len(source))
        cpu = torch.device("cpu")
        batch = Batch(source, lengths, None, target, None, order, cpu, model.pad_index, model.eos_index)
        batch.sort_by_src_length()
        return batch

    pairs = [prepared(ids(source), ids(target)) for source, target in batches]
    sources = [prepared(ids(source)) for source, _ in batches]

    def train():
        """What `joeynmt.training.TrainManager` does for a batch."""
        model.train()
        for batch in pairs:
            loss, *_ = model(return_type="loss", **vars(batch))
            batch.normalize(loss, "tokens").backward()
            clip(parameters=model.parameters())
            optimizer.step()
            model.zero_grad()

    def decode(width, length):
        """The end of a sentence is forbidden before `length`, so that every beam takes all of the steps."""
        model.eval()
        tokens = 0
        for batch in sources:
            answers, _, _ = search(model, batch, length, width, beam_alpha=1.0, min_output_length=length)
            tokens += int((answers != model.pad_index).sum())
        return tokens

    return train, decode


def _model(vocabulary, embedding_dim, encoder_units, decoder_units, depth, attention, dropout, label_smoothing, tied):
    from types import SimpleNamespace

    from joeynmt.model import build_model
    from joeynmt.vocabulary import Vocabulary

    names = dict(unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>", sep_token=None, lang_tags=[])
    ids = dict(unk_id=0, pad_id=1, bos_id=2, eos_id=3)  # it insists on this order
    words = Vocabulary([str(i) for i in range(4, vocabulary)], SimpleNamespace(**names, **ids))

    shared = dict(
        rnn_type="lstm",
        type="recurrent",
        num_layers=depth,
        dropout=dropout,
        embeddings=dict(embedding_dim=embedding_dim, dropout=dropout),
    )
    config = dict(
        encoder=dict(**shared, hidden_size=encoder_units, bidirectional=True),
        decoder=dict(
            **shared,
            hidden_size=decoder_units,
            hidden_dropout=dropout,
            attention=attention,
            init_hidden="bridge",
            input_feeding=True,
        ),
        tied_embeddings=tied,
        tied_softmax=tied and decoder_units == embedding_dim,
    )
    model = build_model(config, words, words)
    model.loss_function = ("crossentropy", label_smoothing)
    return model
