"""The translation bench's peer in plain PyTorch: what JoeyNMT's recurrent encoder-decoder computes, written shortly.

A bidirectional LSTM reads; the decoder's LSTM cells start from a projection of its last states, are fed the attentional
vector of the step before (Luong, Pham & Manning 2015, 3.3), and attend by Bahdanau's or Luong's "general" scores.
"""

from __future__ import annotations

import contextlib

from benchmarks import torch_seq2seq


@contextlib.contextmanager
def timers(sizes, batches, build=None):
    """A translator in a process of its own, initialised at random.

    Args:
        sizes: vocabulary, embedding_dim, encoder_units (of each direction), decoder_units, depth (of both),
            attention ("bahdanau" or "luong"), dropout, label_smoothing, tied, learning_rate, clip_norm.
        batches: list of NumPy pairs: source int32 `[batch, source time]`, and target int32 `[batch, target time]`
            with start and end around; 0 padding, 1 unknown, 2 start, 3 end.
        build: makes the functions that train and decode, of `(torch, batches, **sizes)`; None: this module's.

    Yields:
        Two functions: train on each batch once, which returns the seconds that it took; and, given a beam's width and
        a length, translate each source into so many tokens, which returns the seconds, and the tokens of the answers.
    """
    with torch_seq2seq.started(build or _translator, batches, **sizes) as call:
        yield (lambda: call("train")[0]), (lambda width, length: call("decode", width, length))


def _translator(torch, batches, label_smoothing, learning_rate, clip_norm, **sizes):
    nn = torch.nn
    model = _model(torch, **sizes)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    criterion = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=label_smoothing)
    pairs = [[torch.as_tensor(ids).long() for ids in batch] for batch in batches]

    def train():
        model.train()
        for source, target in pairs:
            optimizer.zero_grad()
            keys, values, mask, states = model.encode(source)
            vector, vectors = None, []
            for embedded in model.embed(target[:, :-1]).unbind(1):
                vector, states = model.step(embedded[:, None], vector, states, keys, values, mask)
                vectors.append(vector)
            scores = model.output(torch.cat(vectors, 1))
            criterion(scores.flatten(0, 1), target[:, 1:].flatten()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()

    @torch.inference_mode()
    def decode(width, length):
        model.eval()
        return sum(int((_search(torch, model, source, width, length) != 0).sum()) for source, _ in pairs)

    return train, decode


def _search(torch, model, source, width, length):
    """The best of a beam search of `length` steps, the end of the sentence forbidden: `[batch, length]`.

    The beams of a sentence are a dimension of their own, so that they share its keys and values.
    """
    keys, values, mask, states = model.encode(source, width)
    batch, vector = len(source), None
    beams = torch.full([batch, width, 1], 2)
    totals = torch.full([batch, width], -torch.inf)
    totals[:, 0] = 0.0
    for _ in range(length):
        vector, states = model.step(model.embed(beams[:, :, -1]), vector, states, keys, values, mask)
        scores = model.output(vector).log_softmax(-1)
        scores[:, :, [0, 2, 3]] = -torch.inf
        words = scores.shape[-1]
        totals, best = (totals[:, :, None] + scores).flatten(1).topk(width)
        parents, tokens = best // words, best % words
        beams, vector, states = torch_seq2seq.chosen(torch, parents, beams, vector, states)
        beams = torch.cat([beams, tokens[:, :, None]], -1)
    return beams[:, 0, 1:]


def _model(torch, vocabulary, embedding_dim, encoder_units, decoder_units, depth, attention, dropout, tied):
    from torch import nn

    inner = dropout if depth > 1 else 0.0

    class Translator(nn.Module):
        def __init__(self):
            super().__init__()
            self.source_embedding = nn.Embedding(vocabulary, embedding_dim, padding_idx=0)
            self.embedding = self.source_embedding if tied else nn.Embedding(vocabulary, embedding_dim, padding_idx=0)
            self.dropout = nn.Dropout(dropout)
            self.encoder = nn.LSTM(
                embedding_dim, encoder_units, depth, batch_first=True, bidirectional=True, dropout=inner
            )
            self.bridge = nn.Linear(2 * encoder_units, decoder_units)
            inputs = [embedding_dim + decoder_units] + [decoder_units] * (depth - 1)
            self.cells = nn.ModuleList(nn.LSTMCell(size, decoder_units) for size in inputs)
            self.keys = nn.Linear(2 * encoder_units, decoder_units, bias=False)
            if attention == "bahdanau":
                self.query = nn.Linear(decoder_units, decoder_units, bias=False)
                self.energy = nn.Linear(decoder_units, 1, bias=False)
            self.attentional = nn.Linear(decoder_units + 2 * encoder_units, decoder_units)
            self.output = nn.Linear(decoder_units, vocabulary, bias=False)
            if tied and decoder_units == embedding_dim:
                self.output.weight = self.embedding.weight

        def encode(self, source, width=1):
            """Keys, values and mask of the attention, `[batch, time, ...]`, and states for `width` beams each."""
            mask = source != 0
            embedded = self.dropout(self.source_embedding(source))
            packed = nn.utils.rnn.pack_padded_sequence(embedded, mask.sum(1), True, enforce_sorted=False)
            values, (last, _) = self.encoder(packed)
            values, _ = nn.utils.rnn.pad_packed_sequence(values, True, total_length=source.shape[1])
            first = self.bridge(torch.cat([last[-2], last[-1]], -1)).tanh().repeat_interleave(width, 0)
            return self.keys(values), values, mask[:, None], [(first, first)] * depth

        def embed(self, ids):
            return self.dropout(self.embedding(ids))

        def step(self, embedded, vector, states, keys, values, mask):
            """From embedded tokens `[batch, beams, embedding_dim]`, the attentional vector and states of each."""
            if vector is None:
                vector = embedded.new_zeros([*embedded.shape[:2], decoder_units])
            x = torch.cat([embedded, self.dropout(vector)], -1).flatten(0, 1)
            x, new = torch_seq2seq.layers(self.cells, x, states, self.dropout)
            query = x.view_as(vector)
            if attention == "bahdanau":
                scores = torch_seq2seq.additive(self.energy, self.query(query), keys)
            else:
                scores = query @ keys.transpose(1, 2)
            context = scores.masked_fill(~mask, -torch.inf).softmax(-1) @ values
            vector = self.attentional(self.dropout(torch.cat([query, context], -1))).tanh()
            return vector, new

    return Translator()
