"""Knowledge distillation: a network learns from the scores of a larger one too (Hinton et al., 2015)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pipeline


@dataclass(frozen=True)
class Teacher:
    """A trained network and how much its scores count.

    Attributes:
        model: in evaluation mode; it is not trained.
        normalize: makes its input of uint8 images.
        temperature: above 0: what scores are divided by before they become probabilities.
        distill_weight, student_weight: weights of the teacher's and of the labels' part of the loss.
    """

    model: nn.Module
    normalize: pipeline.Normalize
    temperature: float
    distill_weight: float
    student_weight: float

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """What the teacher says about uint8 images: [N, classes]."""
        scores: Tensor = self.model(pipeline.to_input(images, self.normalize))
        return scores

    def loss(self, scores: Tensor, taught: Tensor, label_loss: Tensor) -> Tensor:
        """Both parts of the loss of student `scores` [N, classes], given the teacher's and the labels' part.

        The teacher's part is the Kullback-Leibler divergence times the square of the temperature, which keeps its
        gradient as large as that of the labels' part.
        """
        student = F.log_softmax(scores.float() / self.temperature, 1)
        teacher = F.log_softmax(taught.float() / self.temperature, 1)
        divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return self.distill_weight * self.temperature**2 * divergence + self.student_weight * label_loss
