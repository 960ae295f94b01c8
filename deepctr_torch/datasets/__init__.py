"""Data to try the models on: real (MovieLens, Criteo), made with a known answer, and negatives for histories."""

from __future__ import annotations

from .criteo import read_criteo
from .movielens import Columns, MovieLens, load_movielens, movielens_features
from .negatives import sample_negatives
from .synthetic import CriteoLike, make_criteo_like

__all__ = [
    "Columns",
    "CriteoLike",
    "MovieLens",
    "load_movielens",
    "make_criteo_like",
    "movielens_features",
    "read_criteo",
    "sample_negatives",
]
