"""Recurrent layers whose update follows an attention score."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ..._checks import check_positive
from ...registry import Registry

__all__ = ["AGRUCell", "AUGRUCell", "DynamicGRU"]

_Sequences = TypeVar("_Sequences", Tensor, PackedSequence)


class _AttentionGRUCell(nn.Module):
    """The parameters and the time loop that AGRU and AUGRU share; the blocks are reset, update, candidate."""

    has_update_gate: bool

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        check_positive(input_size=input_size, hidden_size=hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        # NOTE[DIFF] W3: two biases; upstream's AUGRU registers one tensor under both names.
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size)) if bias else None
        self.bias_hh = nn.Parameter(torch.empty(3 * hidden_size)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kernels uniform within one over the square root of the hidden size, as in `nn.GRUCell`; biases zero."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters():
            if name.startswith("weight"):
                nn.init.uniform_(parameter, -bound, bound)
            else:
                nn.init.zeros_(parameter)

    def forward(self, inputs: Tensor, hx: Tensor, att_score: Tensor) -> Tensor:
        """One step.

        Args:
            inputs: [B, I].
            hx: state before, [B, H].
            att_score: [B, 1] or [B].

        Returns:
            State after, [B, H].
        """
        return self.sweep(inputs.unsqueeze(1), att_score.reshape(-1, 1), hx).squeeze(1)

    def sweep(self, inputs: Tensor, scores: Tensor, state: Tensor) -> Tensor:
        """All steps, the input projected for all of them at once: `[B, T, I], [B, T], [B, H] -> [B, T, H]`."""
        from_input = functional.linear(inputs, self._used(self.weight_ih), self._used_bias(self.bias_ih))
        kernel, bias = self._used(self.weight_hh), self._used_bias(self.bias_hh)
        states = []
        for projected, score in zip(from_input.unbind(1), scores.unsqueeze(-1).unbind(1), strict=True):
            state = self._step(projected, functional.linear(state, kernel, bias), score, state)
            states.append(state)
        return torch.stack(states, dim=1)

    def _step(self, from_input: Tensor, from_state: Tensor, score: Tensor, state: Tensor) -> Tensor:
        size = self.hidden_size
        gates = torch.sigmoid(from_input[:, :-size] + from_state[:, :-size])  # [B, H] or [B, 2 H]
        candidate = torch.tanh(from_input[:, -size:] + gates[:, :size] * from_state[:, -size:])
        update = score * gates[:, size:] if self.has_update_gate else score
        return (1.0 - update) * state + update * candidate

    def _used(self, blocks: Tensor) -> Tensor:
        """The blocks that the cell computes with."""
        if self.has_update_gate:
            return blocks
        return torch.cat([blocks[: self.hidden_size], blocks[2 * self.hidden_size :]], dim=0)

    def _used_bias(self, blocks: Tensor | None) -> Tensor | None:
        return None if blocks is None else self._used(blocks)


class AGRUCell(_AttentionGRUCell):
    r"""GRU cell whose update gate is the attention score: `[B, I], [B, H], [B, 1] -> [B, H]`.

    :math:`h' = (1 - a)\,h + a\,\tilde h` (Zhou et al., Deep Interest Evolution Network, 2019, "Interest
    Evolving Layer"). The parameters hold a block for the update gate, for the sake of checkpoints; it takes no part.

    Args:
        input_size: I.
        hidden_size: H.
        bias: add biases.

    >>> cell, state = AGRUCell(2, 3), torch.rand(1, 3)
    >>> bool((cell(torch.rand(1, 2), state, torch.zeros(1, 1)) == state).all())
    True
    """

    has_update_gate = False


class AUGRUCell(_AttentionGRUCell):
    r"""GRU cell whose update gate is scaled by the attention score: `[B, I], [B, H], [B, 1] -> [B, H]`.

    :math:`\tilde u = a\,u`, :math:`h' = (1 - \tilde u)\,h + \tilde u\,\tilde h` (Zhou et al., Deep Interest Evolution
    Network, 2019, "Interest Evolving Layer").

    Args:
        input_size: I.
        hidden_size: H.
        bias: add biases.

    >>> AUGRUCell(2, 3)(torch.rand(4, 2), torch.rand(4, 3), torch.rand(4, 1)).shape
    torch.Size([4, 3])
    """

    has_update_gate = True


_CELLS: Registry[type[_AttentionGRUCell]] = Registry("gru_type", {"AGRU": AGRUCell, "AUGRU": AUGRUCell})


class DynamicGRU(nn.Module):
    """AGRU or AUGRU over a sequence, with the state after every step: `[B, T, I], [B, T] -> [B, T, H]`.

    Steps after the end of a sequence are computed too; gather the state at length - 1, or pack the sequences.

    Args:
        input_size: I.
        hidden_size: H; I if None.
        bias: add biases.
        gru_type: "AGRU" or "AUGRU".

    >>> DynamicGRU(2, 3, gru_type="AUGRU")(torch.rand(4, 5, 2), torch.rand(4, 5)).shape
    torch.Size([4, 5, 3])
    """

    def __init__(
        self, input_size: int, hidden_size: int | None = None, bias: bool = True, gru_type: str = "AGRU"
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = input_size if hidden_size is None else hidden_size
        self.rnn = _CELLS.get(gru_type)(input_size, self.hidden_size, bias)

    def forward(self, inputs: _Sequences, att_scores: _Sequences | None = None, hx: Tensor | None = None) -> _Sequences:
        """Run over time.

        Args:
            inputs: [B, T, I], or a packed sequence of it.
            att_scores: [B, T], [B, T, 1] or [B, 1, T]; packed as the inputs are, with one number a step, if they are.
            hx: first state [B, H]; None for zeros.

        Returns:
            The states [B, T, H], packed if the inputs are.
        """
        if att_scores is None:
            raise ValueError("att_scores must be given, got None")
        if isinstance(inputs, PackedSequence) != isinstance(att_scores, PackedSequence):
            raise TypeError("inputs and att_scores must both be tensors or both packed sequences, got one of each")
        if isinstance(inputs, PackedSequence):
            return self._packed(inputs, att_scores, hx)
        batch, steps = inputs.shape[0], inputs.shape[1]
        state = inputs.new_zeros(batch, self.hidden_size) if hx is None else hx.reshape(batch, self.hidden_size)
        return self.rnn.sweep(inputs, att_scores.reshape(batch, steps), state)

    def _packed(self, inputs: PackedSequence, scores: PackedSequence, hx: Tensor | None) -> PackedSequence:
        """The same in the packed sequences' own order, longest first."""
        padded, lengths = pad_packed_sequence(PackedSequence(inputs.data, inputs.batch_sizes), batch_first=True)
        weights, _ = pad_packed_sequence(PackedSequence(scores.data, scores.batch_sizes), batch_first=True)
        if hx is not None and inputs.sorted_indices is not None:
            hx = hx.index_select(0, inputs.sorted_indices)
        states = pack_padded_sequence(self(padded, weights, hx), lengths, batch_first=True)
        return PackedSequence(states.data, inputs.batch_sizes, inputs.sorted_indices, inputs.unsorted_indices)
