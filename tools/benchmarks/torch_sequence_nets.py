"""The networks of sequence_nets.py as a PyTorch user would write them, as far as PyTorch has their layers."""

import numpy as np
import torch
from sequence_nets import NETS, WIDTH, WORDS, draw
from torch import nn
from torch.nn.utils import rnn


class Recurrent(nn.Module):
    """Packed sequences through a recurrence; classes by the largest of each column."""

    def __init__(self, recurrence):
        super().__init__()
        self.vectors = nn.Embedding(WORDS, WIDTH)
        self.recurrence = recurrence(WIDTH, WIDTH)
        self.classes = nn.Linear(WIDTH, 2)

    def forward(self, words, lengths):
        padded = rnn.pad_sequence(words.split(lengths.tolist()))
        packed = rnn.pack_padded_sequence(self.vectors(padded), lengths, enforce_sorted=False)
        hidden, _ = self.recurrence(packed)
        padded, _ = rnn.pad_packed_sequence(hidden, padding_value=-torch.inf)
        return self.classes(padded.max(0)[0])


class BagOfWords(nn.Module):
    def __init__(self):
        super().__init__()
        self.vectors = nn.EmbeddingBag(WORDS, WIDTH, mode="sum")
        self.classes = nn.Sequential(nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 2))

    def forward(self, words, lengths):
        return self.classes(self.vectors(words, lengths.cumsum(0) - lengths))


MODULES = {"lstm": lambda: Recurrent(nn.LSTM), "gru": lambda: Recurrent(nn.GRU), "bag_of_words": BagOfWords}


def stepper(net, batch, train):
    """A function that takes a step: returns the loss and the accuracy, or the logits as an array."""
    model, rng = MODULES[net]().train(train), np.random.RandomState(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=NETS[net].optimizer.learning_rate)

    def step():
        words, lengths, labels = (torch.from_numpy(array) for array in draw(rng, net, batch))
        if not train:
            with torch.no_grad():
                return model(words[:, 0], lengths).numpy()
        optimizer.zero_grad()
        logits = model(words[:, 0], lengths)
        loss = nn.functional.cross_entropy(logits, labels[:, 0])
        loss.backward()
        optimizer.step()
        return loss.item(), (logits.argmax(1) == labels[:, 0]).float().mean().item()

    return step
