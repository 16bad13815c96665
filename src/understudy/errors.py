"""Everything that understudy raises on purpose.

    UnderstudyError
    ├── UserError                  the user can fix it                exit status 2
    │   ├── RecipeError            an option is unknown or out of range
    │   ├── DataError              a source cannot be read, or the audit found it unfit
    │   ├── ModelError             a model folder or name cannot be used
    │   │   └── HubUnreachable     the Hub is needed and does not answer
    │   ├── RunDirectoryError      the output folder holds something else
    │   ├── TrainingDiverged       the loss is NaN or infinite
    │   └── MissingExtra           a package is not installed
    └── GateRefused                a quality gate refused a result    exit status 3

A message says what happened, what was expected and what to do.
"""


class UnderstudyError(Exception):
    """Base of the tree; `exit_status` is what the command line returns for it."""

    exit_status = 1


class UserError(UnderstudyError):
    """The user can fix it."""

    exit_status = 2


class RecipeError(UserError):
    """An option is unknown, of the wrong type or out of range."""


class DataError(UserError):
    """A source cannot be read, or its data cannot be trained on."""


class ModelError(UserError):
    """A model name or folder cannot be used."""


class HubUnreachable(ModelError):
    """A download or an upload needs the Hugging Face Hub, which does not answer."""


class RunDirectoryError(UserError):
    """The output folder holds something that understudy does not overwrite."""


class TrainingDiverged(UserError):
    """The training loss became NaN or infinite."""


class MissingExtra(UserError):
    """A package is not installed; the message says how to install it.

    Args:
        package: The package.
        extra: The extra that installs it; None for a package of the base install.
        purpose: What needs it.
    """

    def __init__(self, package: str, extra: str | None, purpose: str) -> None:
        # From a clone: on PyPI another project has the name.
        how = f"In a clone of understudy, run: pip install '.[{extra}]'" if extra else f"Run: pip install {package}"
        super().__init__(f"{purpose} needs the package '{package}', which is not installed. {how}")


_DISTILL = {"accelerate", "datasets", "matplotlib", "nncf", "safetensors", "scipy", "sklearn", "torch", "transformers"}


def missing_extra(error: ModuleNotFoundError, purpose: str) -> MissingExtra | None:
    """The error to raise if a module is missing because its extra is not installed; None for any other module.

    Args:
        error: From the import.
        purpose: What needs the module.
    """
    package = (error.name or "").partition(".")[0]
    return MissingExtra(package, "distill", purpose) if package in _DISTILL else None


class GateRefused(UnderstudyError):
    """A quality gate refused a result."""

    exit_status = 3
