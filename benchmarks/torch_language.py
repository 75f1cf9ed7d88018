"""The language bench's peer in plain PyTorch: what `tasks.language` computes, with `nn.LSTM`."""

from __future__ import annotations

import numpy as np

from benchmarks import torch_seq2seq

START, UNKNOWN = 0, 1  # as `tasks.language` has them


def started(batches, **sizes):
    """A character model in a process of its own: see `torch_seq2seq.started`.

    Args:
        batches: to train on: list of NumPy pairs: symbols int64 `[rows, time + 1]`, and bool `[rows]`: where a row
            begins anew.
        sizes: weights, from `weights`; optimizer ("adam" or "sgd"), learning_rate, clip_norm, dropout; cache: None, or
            the size, share, sharpness and likeness of a `zoo.layers.cache.ContinuousCache`.

    Yields:
        How to call "train", a step on each batch, the state carried on from one to the next, which gives the losses;
        "read", with symbols int64 `[time]`, which gives the log-probability of each after those before it; and
        "write", with how many, a temperature (0: the most probable), a seed, and a number of threads (0: as many as
        there are cores), which gives as many symbols.
    """
    return torch_seq2seq.started(_language, batches, **sizes)


def weights(model) -> dict[str, np.ndarray]:
    """Of a `tasks.language.CharacterModel` of LSTM cells, by the peer's names."""
    array = lambda variable: variable.numpy()
    found = {"embedding.weight": array(model.embedding.embeddings)}
    for i, layer in enumerate(model.stack.recurrent_layers):
        kernel, recurrent, bias = map(array, layer.weights)
        found |= {f"lstm.weight_ih_l{i}": kernel.T, f"lstm.weight_hh_l{i}": recurrent.T}
        found |= {f"lstm.bias_ih_l{i}": bias, f"lstm.bias_hh_l{i}": np.zeros_like(bias)}
    return found | {"output.weight": array(model.softmax.kernel).T, "output.bias": array(model.softmax.bias)}


def _language(torch, batches, weights, optimizer, learning_rate, clip_norm, dropout, cache):
    nn = torch.nn
    model, cores = _model(torch, weights, dropout), torch.get_num_threads()
    update = torch_seq2seq.updates(torch, model, optimizer, learning_rate, clip_norm)
    batches = [[torch.as_tensor(part) for part in batch] for batch in batches]
    state = None

    def train():
        model.train()
        return [step(symbols, begin) for symbols, begin in batches]

    def step(symbols, begin):
        nonlocal state
        inputs = symbols[:, :-1].clone()
        inputs[begin, 0] = START
        if state is not None:
            state = tuple(part.masked_fill(begin[:, None], 0.0) for part in state)
        scores, state = model(inputs, state)
        state = tuple(part.detach() for part in state)
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), symbols[:, 1:].flatten())
        return update(loss)

    @torch.inference_mode()
    def read(symbols):
        model.eval()
        symbols = torch.as_tensor(symbols)[None]
        inputs = torch.cat([torch.full([1, 1], START), symbols[:, :-1]], 1)
        vectors, _ = model.vectors(inputs)
        p = model.output(vectors).softmax(-1)[0]
        if cache:
            steps = _steps(torch, cache["size"], vectors[0], inputs[0], p)
            p = torch.stack([_with_cache(torch, cache, *step) for step in steps])
        return p.log().gather(-1, symbols[0, :, None])[:, 0].numpy()

    @torch.inference_mode()
    def write(length, temperature, seed, threads):
        model.eval()
        torch.manual_seed(seed)
        torch.set_num_threads(threads or cores)
        symbol, state, found, vector = torch.full([1, 1], START), None, [], None
        if cache:
            keys, symbols = torch.zeros(cache["size"], model.output.in_features), torch.full([cache["size"]], START)
        for i in range(length):
            vectors, state = model.vectors(symbol, state)
            scores = model.output(vectors)[:, -1]
            if cache:
                if vector is not None:
                    keys[(i - 1) % len(keys)], symbols[(i - 1) % len(keys)] = vector, symbol[0, 0]
                vector = nn.functional.normalize(vectors[0, 0], dim=0)
                scores = _with_cache(torch, cache, vector, keys, symbols, scores[0].softmax(-1)).log()[None]
            scores[:, [START, UNKNOWN]] = -torch.inf
            if temperature:
                symbol = torch.multinomial((scores / temperature).softmax(-1), 1)
            else:
                symbol = scores.argmax(-1, keepdim=True)
            found.append(symbol)
        torch.set_num_threads(cores)
        return torch.cat(found, 1)[0].numpy()

    return train, read, write


def _steps(torch, size, vectors, inputs, p):
    """What `_with_cache` takes, at each step of a text."""
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    for i in range(len(vectors)):
        first = max(0, i - size)
        yield vectors[i], vectors[first:i], inputs[first + 1 : i + 1], p[i]


def _with_cache(torch, cache, vector, keys, symbols, p):
    """Probabilities by the network and by what came after vectors like this one."""
    likes = torch.exp(cache["sharpness"] * (keys @ vector - cache["likeness"])) * (symbols != START)
    weights = cache["share"] * likes / (1 + likes.sum())
    return ((1 - weights.sum()) * p).index_add(0, symbols, weights)


def _model(torch, weights, dropout):
    from torch import nn

    symbols, embedding_dim = weights["embedding.weight"].shape
    units = weights["lstm.weight_hh_l0"].shape[1]
    depth = sum(name.startswith("lstm.weight_hh") for name in weights)

    class Characters(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(symbols, embedding_dim)
            inner = dropout if depth > 1 else 0.0
            self.lstm = nn.LSTM(embedding_dim, units, depth, batch_first=True, dropout=inner)
            self.dropout = nn.Dropout(dropout)
            self.output = nn.Linear(units, symbols)
            for layer in range(depth):
                getattr(self.lstm, f"bias_hh_l{layer}").requires_grad_(False)  # Keras has one bias

        def vectors(self, inputs, state=None):
            vectors, state = self.lstm(self.embedding(inputs), state)
            return self.dropout(vectors), state

        def forward(self, inputs, state=None):
            vectors, state = self.vectors(inputs, state)
            return self.output(vectors), state

    model = Characters()
    model.load_state_dict({name: torch.as_tensor(array) for name, array in weights.items()})
    return model
