"""The kinds of tasks, a file each; who adds one adds it to `KINDS`."""

from .audio_classification import AudioClassification
from .classification import Classification
from .embedding import Embedding
from .image_classification import ImageClassification
from .kind import Kind
from .multi_label import MultiLabel
from .multiple_choice import MultipleChoice
from .question_answering import QuestionAnswering
from .ranking import Ranking
from .regression import Regression
from .speech_recognition import SpeechRecognition
from .token_classification import TokenClassification

_ALL = (
    *(Classification, Regression, MultipleChoice, MultiLabel),
    *(TokenClassification, QuestionAnswering, Embedding, Ranking),
    *(ImageClassification, AudioClassification, SpeechRecognition),
)
KINDS: dict[str, type[Kind]] = {kind.NAME: kind for kind in _ALL}
METRICS = tuple(dict.fromkeys(metric for kind in KINDS.values() for metric in kind.METRICS))


def kind_name(head: str, problem: str | None, outputs: int, said: str | None = None) -> str:
    """The kind of task that a model answers, by what transformers' config says of it.

    Args:
        said: the kind that its task names; taken where the config can mean it.
    """
    if said in KINDS and KINDS[said].fits(head, problem, outputs):
        return said
    if head == Kind.HEAD and problem is None:
        problem = (Regression if outputs == 1 else Classification).PROBLEM
    return next(kind.NAME for kind in KINDS.values() if kind.fits(head, problem, outputs))


__all__ = ["KINDS", "METRICS", "Kind", "kind_name"]
