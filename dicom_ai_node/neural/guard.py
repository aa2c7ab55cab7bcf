"""What a network and its input say about whether the input can be trusted.

An attack that wants to change an answer without being seen must hide in fine detail, and this
detail must push the network. Chance detail does not: it is as often along the gradient of the
answer as against it. Detail that is aligned with the gradient, an answer that changes when the
detail is taken away, and detail of unusual strength speak for a manipulation. An input whose
brightness, detail and features lie far from those of the training data is another matter: nobody
need have meant it, but the model has never seen its like.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.neural.detail import (
    alignment,
    denoised,
    evened,
    levels,
    smooth,
    strengths,
)

SMALLEST_CHANGE = 1e-3
"""Smaller changes of the answer are told apart no further."""

Network = Callable[[Tensor], object]


@dataclass(frozen=True, slots=True)
class Signs:
    """What was measured on items: (items, numbers) each.

    `of_manipulation` is what an attack changes, `of_kind` what tells one kind of image from
    another.
    """

    of_manipulation: Tensor
    of_kind: Tensor


def signs(
    network: Network, layer: nn.Module, items: Tensor, inside: tuple[int, ...], channel: int = 0
) -> Signs:
    """Measure items, (items, inputs, *axes) float32 in about 0..1.

    Parameters
    ----------
    layer
        A module of `network` whose output, averaged over all places, tells kinds of images apart.
    inside
        The part of every axis that is image and not padding, from its start.
    channel
        Which of several inputs is judged.

    Raises
    ------
    TaskFailed
        If the layer gives no features, or the network's answer does not depend on the items.
    """
    cut = (
        slice(None), slice(channel, channel + 1), *(slice(0, length) for length in inside),
    )  # fmt: skip
    seen = items[cut]
    features: list[Tensor] = []
    with torch.enable_grad():
        given, soft = _leaf(items), _leaf(_replaced(items, cut, smooth(seen)))
        answers = _watched(network, layer, given, features), network(soft)
        pulls = [
            _pull(answers, given)[cut].sign(),
            _pull(answers[::-1], soft)[cut].sign(),
        ]
    pushes = []
    for detail in (seen - smooth(seen), seen - denoised(seen)):
        for pull in pulls:
            pushes += [alignment(detail, pull), alignment(evened(detail), pull)]
    pushes.append(alignment(smooth(seen) - smooth(seen, 3), pulls[0]))
    clean = network(_replaced(items, cut, denoised(seen)))
    changes = [
        ((said(answers[0]) - said(other)).abs().flatten(1).mean(1) + SMALLEST_CHANGE).log()
        for other in (answers[1], clean)
    ]
    fine = strengths(seen)
    found = Signs(
        torch.cat([torch.stack([*pushes, *changes], 1), fine], 1),
        torch.cat([fine, levels(seen), features[0]], 1),
    )
    if items.requires_grad:
        return found
    return Signs(found.of_manipulation.detach(), found.of_kind.detach())


def said(answer: object) -> Tensor:
    """Return what a network said, (items, numbers, ...): probabilities where classes compete."""
    if isinstance(answer, Tensor):
        several = answer.ndim > 1 and answer.shape[1] > 1
        return answer.softmax(1) if several else answer.reshape(len(answer), 1, -1)
    return torch.cat([part.flatten(1) for part in _tensors(answer)], 1)[:, None]


def _tensors(answer: object) -> list[Tensor]:
    match answer:
        case Tensor():
            return [answer]
        case Mapping():
            return [part for inner in answer.values() for part in _tensors(inner)]
        case list() | tuple():
            return [part for inner in answer for part in _tensors(inner)]
        case _:
            raise TaskFailed(f"the guard can do nothing with a {type(answer).__name__}")


def _certainty(answer: Tensor) -> Tensor:
    """Return how far the first class lies above the second, over all places and items."""
    first, second = answer.topk(2, 1).values.unbind(1)
    return (first - second).reshape(len(answer), -1).mean(1).sum()


def _apart(answer: object, other: object) -> Tensor:
    """Return how far an answer lies from another one, over all items."""
    return (said(answer) - said(other).detach()).square().flatten(1).mean(1).sum()


def _pull(answers: tuple[object, object], given: Tensor) -> Tensor:
    """Return the gradient of an answer: where to it pulls every pixel.

    Where classes compete, that of its certainty; otherwise that of its distance from the second
    one, the answer without or with fine detail: an attack drives the two apart.
    """
    answer = answers[0]
    if isinstance(answer, Tensor) and answer.ndim > 1 and answer.shape[1] > 1:
        aim = _certainty(answer)
    else:
        aim = _apart(*answers)
    if aim.grad_fn is None:
        raise TaskFailed("the answer of the network does not depend on its input")
    found = torch.autograd.grad(aim, given, allow_unused=True, retain_graph=True)[0]
    if found is None:
        raise TaskFailed("the answer of the network does not depend on its input")
    return found


def _leaf(items: Tensor) -> Tensor:
    """Return items that a gradient can be taken of: themselves, if somebody else wants one too."""
    return items if items.requires_grad else items.detach().clone().requires_grad_()


def _replaced(items: Tensor, cut: tuple[slice, ...], seen: Tensor) -> Tensor:
    if seen.shape == items.shape:
        return seen
    whole = items.clone()
    whole[cut] = seen
    return whole


def _watched(network: Network, layer: nn.Module, items: Tensor, features: list[Tensor]) -> object:
    """Run the network, and put (items, channels) of the layer into `features`."""

    def look(_layer: nn.Module, _given: object, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim < 2:  # noqa: PLR2004
            raise TaskFailed("the guard's layer gives no features")
        features.append(output.reshape(*output.shape[:2], -1).mean(2))

    hook = layer.register_forward_hook(look)
    try:
        answer = network(items)
    finally:
        hook.remove()
    if not features:
        raise TaskFailed("the guard's layer takes no part in the answer")
    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What is usual, and how to weigh what is not; fitted by `training.guard`.

    Attributes
    ----------
    usual, spread
        (numbers,) mean and standard deviation of `Signs.of_manipulation` on training data.
    weights
        (numbers,) how much each of them speaks for a manipulation.
    offset
        () added to their sum.
    centre, precision
        (numbers,) and (numbers, numbers) mean and inverse covariance of `Signs.of_kind`.
    thresholds
        (2,) from which scores on an item counts as manipulated, and as unlike the training data.
    """

    usual: Tensor
    spread: Tensor
    weights: Tensor
    offset: Tensor
    centre: Tensor
    precision: Tensor
    thresholds: Tensor

    def scores(self, found: Signs) -> Tensor:
        """Return (items, 2): log odds of a manipulation, and the Mahalanobis distance.

        The distance is divided by the square root of the count of its numbers, so that about 1 is
        usual.
        """
        manipulated = ((found.of_manipulation - self.usual) / self.spread) @ self.weights
        away = found.of_kind - self.centre
        far = ((away @ self.precision) * away).sum(1).clamp(min=0) / len(self.centre)
        return torch.stack([manipulated + self.offset, far.sqrt()], 1)

    def tensors(self) -> Mapping[str, Tensor]:
        """Return what is to be written, by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


def judges_in(tensors: Mapping[str, Tensor], inputs: Collection[str]) -> Mapping[str, Judge]:
    """Return a judge for every input by its name, or one without a name; see `tensors_of`.

    Raises
    ------
    KeyError
        If a number is missing.
    """
    return {
        name: Judge(
            **{
                one.name: tensors[f"{name}.{one.name}" if name else one.name].float()
                for one in fields(Judge)
            }
        )
        for name in inputs or ("",)
    }


def tensors_of(judges: Mapping[str, Judge]) -> Mapping[str, Tensor]:
    """Return what is to be written of judges by the name of their input, empty for the only one."""
    return {
        f"{name}.{key}" if name else key: tensor.contiguous()
        for name, judge in judges.items()
        for key, tensor in judge.tensors().items()
    }
