"""What every module strategy does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from promptc.runners.candidate import Nearest
from promptc.runners.metrics.protocol import Metric, Score
from promptc.runners.models.request import ToolCall
from promptc.spec.fields import Signature

if TYPE_CHECKING:
    from promptc.runners.conversation import Conversation
    from promptc.runners.sandbox import Code, Ran
    from promptc.runners.talk import Talk
    from promptc.runners.tools.protocol import Function, Offered
    from promptc.runners.tools.using import Used

Outcome = TypeVar("Outcome")


class Call(Protocol):
    """What a module may do while it runs on one row: call its predictors."""

    async def predict(self, predictor: str, inputs: Mapping[str, Any], *, rollout: int = 0) -> dict[str, Any]:
        """The outputs of one predictor. Renders, asks, parses and re-asks; raises RowFailed when that ends without."""
        ...

    def conversation(self, predictor: str, inputs: Mapping[str, Any], talk: Talk) -> Conversation:
        """A call of one predictor in which the model may call something before it answers."""
        ...

    def calls_natively(self, predictor: str) -> bool:
        """Whether the predictor's model can be shown tools in its provider's own way."""
        ...

    async def offered(self, predictor: str, names: Sequence[str] | None) -> tuple[Offered, ...]:
        """The functions of these tools of the spec, of all without names, as the candidate describes them."""
        ...

    async def use(
        self,
        offered: Sequence[Offered],
        calls: Sequence[ToolCall],
        conversation: Conversation,
        *,
        first: int = 0,
    ) -> tuple[Used, ...]:
        """What comes of calls, all made at once. A tool that fails says so in its result; raises RowFailed.

        `first` counts the calls of the same turn that were made before.
        """
        ...

    async def run_code(self, code: Code) -> Ran:
        """How far a program of the model's comes in the sandbox."""
        ...

    def seed(self, inputs: Mapping[str, Any]) -> str:
        """What random numbers of a model's program begin with: equal for the run's seed and equal inputs."""
        ...

    def objection(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
        """What an assertion has against outputs that no predictor gave; "" where all hold or none counts here."""
        ...

    async def together(self, works: Sequence[Callable[[Call], Awaitable[Outcome]]]) -> list[Outcome]:
        """Do several things at once, each with a `Call` of its own; results in order, errors once all have ended."""
        ...

    def sample(self, index: int, of: int, *, checked: bool = True, advice: str = "") -> Call:
        """This call for run `index` of `of`: its replies differ from those of the other runs, at every level.

        Run 0 asks the plain requests. With `checked` False the step's assertions make no predictor ask again.
        `advice` is put to every predictor as one input more, after its own; it never becomes part of a demo.
        """
        ...

    def check(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> tuple[str, ...]:
        """Per assertion of the step what is wrong with the outputs, "" where it holds."""
        ...

    async def reward(
        self, metric: Metric, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> Score | None:
        """What a metric that needs no gold says of outputs; None where it abstains. Raises RowFailed."""
        ...

    def required(self) -> tuple[bool, ...]:
        """Per assertion of the step whether a row must not end without it: True for all but suggestions."""
        ...

    def last_reply(self) -> dict[str, Any]:
        """All outputs of the last predictor call, those too that a module leaves in the trace; empty before it."""
        ...

    def take(self, work: int | None, note: str) -> None:
        """Say which of the works done together so far, counted through, gave the result, and why; None: none did.

        In the trace its calls come after those of the others, which count as not kept. The note stands at the last
        call of the trace.
        """
        ...


class Module(Protocol):
    """A strategy that carries a signature out."""

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        """The predictors it calls, by suffix ("" for the step's own), each with the signature that is rendered."""
        ...

    def calls(self) -> tuple[int, int]:
        """Fewest and most predictor calls per row, without re-asks."""
        ...

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The step's outputs for one row."""
        ...


@runtime_checkable
class Choosy(Protocol):
    """A module that cannot carry out every step."""

    def unfit(self, signature: Signature, checks: int) -> str:
        """Why it cannot carry out a step with this signature and so many assertions; "" where it can."""
        ...


@runtime_checkable
class Showing(Protocol):
    """A module some of whose calls show the model what earlier calls of the row said."""

    def shown(self) -> int:
        """How many earlier replies one call shows at most; a budget's worst case counts them."""
        ...


@runtime_checkable
class Rewarding(Protocol):
    """A module that asks a metric what its runs are worth."""

    def judged(self) -> int:
        """Most model calls of that metric per row."""
        ...


def judge_calls(module: Module) -> int:
    """Most model calls per row of the metrics that the module asks."""
    return module.judged() if isinstance(module, Rewarding) else 0


@runtime_checkable
class Choosing(Protocol):
    """A module whose predictors show a row only those demos that are most like it."""

    def nearest(self) -> Nearest:
        """Which ones."""
        ...


@runtime_checkable
class Wrapping(Protocol):
    """A module around another one, whose predictors are among its own under the same names."""

    @property
    def inner(self) -> Module:
        """The other one."""
        ...


def neighbours(module: Module, signature: Signature) -> dict[str, Nearest]:
    """Which demos a row sees, by the suffixes of those predictors that do not show it all of them."""
    if isinstance(module, Choosing):
        return dict.fromkeys(module.predictors(signature), module.nearest())
    return neighbours(module.inner, signature) if isinstance(module, Wrapping) else {}


@runtime_checkable
class Talking(Module, Protocol):
    """A module whose model may call something before it answers, and what it says about that."""

    def tool_names(self) -> tuple[str, ...] | None:
        """The tools of the spec that it uses; None for all of them."""
        ...

    def talk(self, signature: Signature, functions: tuple[Function, ...], *, native: bool) -> Talk:
        """How its predictor talks about these functions, with a model that can be shown tools natively or cannot."""
        ...


def talking_module(module: Module) -> Talking | None:
    """The module itself or one inside of it that may call something; None where there is none."""
    if isinstance(module, Talking):
        return module
    return talking_module(module.inner) if isinstance(module, Wrapping) else None


def shown_replies(module: Module) -> int:
    """How many earlier replies of the row one call of the module shows at most."""
    return module.shown() if isinstance(module, Showing) else 0


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """The wanted name, or with the first number from 2 on under which nothing goes yet."""
    names = set(taken)
    name, number = wanted, 2
    while name in names:
        name, number = f"{wanted}{number}", number + 1
    return name
