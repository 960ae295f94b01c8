"""What multiclass models put in the place of layers that give one number."""

from __future__ import annotations

from torch import Tensor, nn

from ..layers.interaction import BiInteractionPooling

__all__ = ["ClassFM"]


class ClassFM(nn.Module):
    """A factorization machine with a logit a class: the pooled interactions, projected. [B, F, E] -> [B, C]"""

    def __init__(self, embedding_size: int, num_classes: int) -> None:
        super().__init__()
        self.pooling = BiInteractionPooling()
        self.projection = nn.Linear(embedding_size, num_classes, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.projection(self.pooling(inputs).squeeze(1))
        return logits
