"""The NER bench's peer: Flair's BiLSTM-CRF (`flair.models.SequenceTagger`) with word and character embeddings."""

from __future__ import annotations

import contextlib
import time

from benchmarks import torch_process


@contextlib.contextmanager
def timers(batches, sizes):
    """A tagger in a process of its own, its embeddings initialised at random.

    Args:
        batches: lists of sentences `(tokens, IOB2 tags)`, sorted or not.
        sizes: word_dim, character_dim, character_units, units, clip_norm.

    Yields:
        Two functions: train on each batch once, tag each batch once; they return the seconds that it took.
    """
    with torch_process.start(_serve, batches, sizes) as ask:
        yield (lambda: ask("train")), (lambda: ask("tag"))


def _serve(pipe, batches, sizes):
    import logging

    import torch

    torch.set_flush_denormal(True)  # as TensorFlow does
    import flair  # sets its log's level

    flair.device = torch.device("cpu")
    logging.getLogger("flair").setLevel(logging.ERROR)
    work = _tagger(torch, batches, **sizes)
    with contextlib.suppress(EOFError):  # the other end was closed
        while True:
            job = work[pipe.recv()]
            began = time.perf_counter()
            job()
            pipe.send(time.perf_counter() - began)


def _tagger(torch, batches, word_dim, character_dim, character_units, units, clip_norm):
    from flair.data import Dictionary, Sentence
    from flair.embeddings import CharacterEmbeddings, OneHotEmbeddings, StackedEmbeddings
    from flair.models import SequenceTagger

    from zoo import conll

    words, characters, labels = Dictionary(), Dictionary(), Dictionary(add_unk=False)
    labels.span_labels = True
    for tokens, tags in (row for batch in batches for row in batch):
        for token in tokens:
            words.add_item(token)
            for letter in token:
                characters.add_item(letter)
        for kind, _, _ in conll.entities(tags):
            labels.add_item(kind)
    spelling = CharacterEmbeddings(characters, character_dim, character_units)
    embeddings = StackedEmbeddings([OneHotEmbeddings(words, embedding_length=word_dim), spelling])
    model = SequenceTagger(
        embeddings,
        labels,
        "ner",
        hidden_size=units,
        reproject_embeddings=False,
        word_dropout=0.0,
        locked_dropout=0.0,
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def sentences(batch):
        made = []
        for tokens, tags in batch:
            sentence = Sentence(tokens)
            for kind, start, end in conll.entities(tags):
                sentence[start:end].add_label("ner", kind)
            made.append(sentence)
        return made

    labelled = [sentences(batch) for batch in batches]

    def train():
        model.train()
        for batch in labelled:
            optimizer.zero_grad()
            loss, count = model.forward_loss(batch)
            (loss / count).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
            for sentence in batch:
                sentence.clear_embeddings()

    def tag():
        model.eval()
        for batch in batches:
            model.predict([Sentence(tokens) for tokens, _ in batch], mini_batch_size=len(batch))

    return {"train": train, "tag": tag}
