"""The captioning bench's peer in plain PyTorch: what `tasks.captioning` computes in its way "attend".

LSTM cells that are fed the attentional vector of the step before look at the places of a picture. Its sentences, or the
hypotheses of a beam, are a dimension of their own, so that they share its keys and values.
"""

from __future__ import annotations

import numpy as np

from benchmarks import torch_seq2seq


def started(batches, **sizes):
    """A captioner in a process of its own: see `torch_seq2seq.started`.

    Args:
        batches: to train on: list of NumPy triples: pictures or features `[batch, ...]`, words int32 `[batch, time,
            captions]`, and the words after them; 0 padding, 1 unknown, 2 start, 3 end.
        sizes: weights, from `weights`; eye, from `seen`, or None for features that are given; inputs, the pictures and
            the features to describe: a name for each list of arrays `[batch, ...]`; optimizer ("adam" or "sgd"),
            learning_rate, clip_norm, dropout, label_smoothing, doubly_stochastic.

    Yields:
        How to call "train", a step on each batch, which gives the losses; "see", features of the batches of an input;
        "decode", with an input, a beam's width, and a number of steps that all captions take, which gives the number
        of words; and "caption", with an input, a beam's width, a maximal length, and the exponent of the length, which
        gives the words `[batch, time]` and scores of each batch.
    """
    return torch_seq2seq.started(_captioner, batches, **sizes)


def weights(model) -> dict[str, np.ndarray]:
    """Of a `tasks.captioning.Captioner`, by the peer's names."""
    array, decoder = (lambda variable: variable.numpy()), model.decoder
    linear = lambda name, layer: {f"{name}.weight": array(layer.kernel).T, f"{name}.bias": array(layer.bias)}
    found = linear("places", model.places) | {"positions": array(model.positions)}
    for i, layer in enumerate(model.bridge):
        found |= linear(f"bridge.{i}", layer)
    inputs = [np.concatenate([array(decoder.kernel), array(decoder.fed_kernel)]), *map(array, decoder.upper_kernels)]
    for i, kernel in enumerate(inputs):
        bias = array(decoder.biases[i])
        found |= {f"cells.{i}.weight_ih": kernel.T, f"cells.{i}.weight_hh": array(decoder.recurrent_kernels[i]).T}
        found |= {f"cells.{i}.bias_ih": bias, f"cells.{i}.bias_hh": np.zeros_like(bias)}
    kernels = {"query": decoder.query_kernel, "keys": decoder.key_kernel, "attentional": decoder.output_kernel}
    found |= {f"{name}.weight": array(kernel).T for name, kernel in kernels.items()}
    table = array(model.target_embedding.embeddings)
    found |= {"energy.weight": array(decoder.score)[None], "embedding.weight": table}
    return found | {"output.weight": table, "output.bias": array(model.bias)}


def seen(eye) -> tuple[str, list[list[np.ndarray]]]:
    """A `zoo.layers.grids.GridEncoder` as `torch_eyes.eye` takes it: the network's name, weights layer by layer."""
    found = []
    own = [layer for pair in zip(eye.convolutions, eye.norms, strict=True) for layer in pair]
    for layer in eye.base.layers if eye.base else own:
        values = layer.get_weights()
        if values and values[0].ndim == 4:
            depthwise = type(layer).__name__ == "DepthwiseConv2D"  # Keras stays out of the peer's process
            values[0] = values[0].transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
        found += [values] if values else []
    return eye.network or "conv", found


def _captioner(
    torch,
    batches,
    weights,
    eye,
    inputs,
    optimizer,
    learning_rate,
    clip_norm,
    dropout,
    label_smoothing,
    doubly_stochastic,
):
    nn = torch.nn
    model = _model(torch, weights, eye, dropout)
    update = torch_seq2seq.updates(torch, model, optimizer, learning_rate, clip_norm)
    criterion = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    batches = [[torch.as_tensor(part) for part in batch] for batch in batches]
    inputs = {name: [torch.as_tensor(batch) for batch in parts] for name, parts in inputs.items()}

    def train():
        model.train()
        return [step(source, before.long(), after.long()) for source, before, after in batches]

    def step(source, before, after):
        keys, grid, states = model.encode(source, after.shape[2])
        vector, vectors, looks = None, [], []
        for words in model.embed(before).unbind(1):
            vector, states, look = model.step(words, vector, states, keys, grid)
            vectors.append(vector)
            looks.append(look)
        said = after != 0
        loss = criterion(model.output(torch.stack(vectors, 1)[said]), after[said])
        if doubly_stochastic:
            left = 1 - (torch.stack(looks, 1) * said[..., None]).sum(1)
            loss = loss + doubly_stochastic * (left**2).sum(-1)[said.any(1)].mean()
        return update(loss)

    @torch.inference_mode()
    def see(name):
        model.eval()
        return [model.eye(batch).numpy() for batch in inputs[name]]

    @torch.inference_mode()
    def caption(name, width, length, length_penalty):
        model.eval()
        found = [_search(torch, model, batch, width, length, length_penalty) for batch in inputs[name]]
        return [(tokens.numpy(), scores.numpy()) for tokens, scores in found]

    @torch.inference_mode()
    def decode(name, width, steps):
        model.eval()
        found = [_search(torch, model, batch, width, steps, 1.0, ends=False)[0] for batch in inputs[name]]
        return sum(int((tokens != 0).sum()) for tokens in found)

    return train, see, caption, decode


def _search(torch, model, source, width, length, length_penalty, ends=True):
    """Beam search: the best hypotheses `[batch, time]`, padded with 0, and their scores `[batch]`.

    As `zoo.decoding.beam_search` has it, a hypothesis that has ended keeps its place, and the score is divided by
    ((5 + length) / 6)^length_penalty. It stops when all have ended.
    """
    keys, grid, states = model.encode(source, width)
    batch, vector = len(source), None
    beams = torch.full([batch, width, 1], 2)
    totals = torch.full([batch, width], -torch.inf)
    totals[:, 0] = 0.0
    done = torch.zeros([batch, width], dtype=torch.bool)
    never = [0, 1, 2] if ends else [0, 1, 2, 3]
    kept = None  # of what a hypothesis that has ended goes on with: itself, by padding
    for _ in range(length):
        vector, states, _ = model.step(model.embed(beams[:, :, -1]), vector, states, keys, grid)
        scores = model.output(vector)
        scores[:, :, never] = -torch.inf
        scores = totals[:, :, None] + scores.log_softmax(-1)
        words = scores.shape[-1]
        if kept is None:
            kept = torch.full([words], -torch.inf)
            kept[0] = torch.inf
        scores[done] = kept
        best, places = scores.flatten(1).topk(width)
        parents, tokens = places // words, places % words
        done = best == torch.inf
        totals = torch.where(done, totals.gather(1, parents), best)
        done = done | ((tokens == 3) & (totals > -torch.inf))
        beams, vector, states = torch_seq2seq.chosen(torch, parents, beams, vector, states)
        beams = torch.cat([beams, tokens[:, :, None]], -1)
        if done.all():
            break
    lengths = (beams[:, :, 1:] != 0).sum(-1)  # with the end
    scores, best = (totals / ((5 + lengths) / 6) ** length_penalty).max(1)
    said = beams[torch.arange(batch), best, 1:]
    return torch.where(said == 3, 0, said), scores


def _model(torch, weights, eye, dropout):
    from torch import nn

    words, embedding_dim = weights["embedding.weight"].shape
    units, features = weights["places.weight"].shape
    depth = sum(name.startswith("bridge") for name in weights) // 4

    class Captioner(nn.Module):
        def __init__(self):
            super().__init__()
            self.places = nn.Linear(features, units)
            self.positions = nn.Parameter(torch.zeros(weights["positions"].shape))
            self.bridge = nn.ModuleList(nn.Linear(units, units) for _ in range(2 * depth))
            self.embedding = nn.Embedding(words, embedding_dim)
            self.dropout = nn.Dropout(dropout)
            inputs = [embedding_dim + embedding_dim] + [units] * (depth - 1)
            self.cells = nn.ModuleList(nn.LSTMCell(size, units) for size in inputs)
            self.query = nn.Linear(units, units, bias=False)
            self.keys = nn.Linear(units, units, bias=False)
            self.energy = nn.Linear(units, 1, bias=False)
            self.attentional = nn.Linear(units + units, embedding_dim, bias=False)
            self.output = nn.Linear(embedding_dim, words)
            self.output.weight = self.embedding.weight
            for cell in self.cells:
                cell.bias_hh.requires_grad_(False)  # Keras has one bias

        def encode(self, source, sentences):
            """Keys and values of the attention, `[batch, places, units]`, and first states for so many sentences."""
            x = self.eye(source) if source.ndim == 4 else source.float()
            grid = self.dropout((self.places(x) + self.positions).relu())
            mean = grid.mean(1)
            first = [layer(mean).tanh().repeat_interleave(sentences, 0) for layer in self.bridge]
            return self.keys(grid), grid, list(zip(first[::2], first[1::2], strict=True))

        def embed(self, ids):
            return self.dropout(self.embedding(ids))

        def step(self, embedded, vector, states, keys, grid):
            """From embedded words `[batch, sentences, embedding_dim]`, the attentional vectors, all states, and where
            they looked, `[batch, sentences, places]`."""
            if vector is None:
                vector = torch.zeros_like(embedded)
            x = torch.cat([embedded, vector], -1).flatten(0, 1)
            x, new = torch_seq2seq.layers(self.cells, x, states, self.dropout)
            query = x.view(*embedded.shape[:2], units)
            look = torch_seq2seq.additive(self.energy, self.query(query), keys).softmax(-1)
            vector = self.attentional(torch.cat([query, look @ grid], -1)).tanh()
            return self.dropout(vector), new, look

    model = Captioner()
    model.load_state_dict({name: torch.as_tensor(array) for name, array in weights.items()})
    if eye:
        from benchmarks import torch_eyes

        model.eye = torch_eyes.eye(*eye)
    return model
