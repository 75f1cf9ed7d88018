"""The recurrent layers of the zoo, and what the tasks build on them."""

from zoo.layers.attention import AttentionDecoder
from zoo.layers.crf import CRF, CRFAccuracy, CRFLoss
from zoo.layers.parallel import LRU, MinGRU, MinLSTM
from zoo.layers.pooling import SequencePooling
from zoo.layers.recurrent import GRU, LSTM, SimpleRNN
from zoo.layers.stack import RecurrentStack
from zoo.layers.tokens import TokenEncoder

__all__ = [
    "AttentionDecoder",
    "CRF",
    "CRFAccuracy",
    "CRFLoss",
    "GRU",
    "LRU",
    "LSTM",
    "MinGRU",
    "MinLSTM",
    "RecurrentStack",
    "SequencePooling",
    "SimpleRNN",
    "TokenEncoder",
]
