"""Upper bounds of an error rate that hold for every truth: of a stream, and of a pool that ends."""

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

_FAR = 9.0  # standard deviations from the mean beyond which a term can't be seen in a double
_TIES = 1 - 1e-9  # what differs by the last bits only is equal, and equal is not yet ruled out
_TABLE = 1 << 16  # rows up to which logarithms of factorials are kept
_NEAR = 40  # terms that are always added: far from the normal shape where few are expected


def binomial_upper(errors: int, n: int, level: float = 0.95) -> float:
    """The largest error rate of a stream under which `errors` or fewer in `n` draws still have chance 1 - level.

    One-sided: with probability `level` or more over the draw the true rate is not above it. 1 where n is 0. Source:
    Clopper and Pearson 1934. Raises ValueError unless 0 <= errors <= n and 0 < level < 1.

    The sample sizes auditors read from their tables (59 without an error, 93 with one, 124 with two, for 5 %):

    >>> [round(binomial_upper(errors, n), 3) for errors, n in ((0, 59), (1, 93), (2, 124))]
    [0.05, 0.05, 0.05]
    """
    from scipy.special import betaincinv  # 0.3 s to import: only who asks for it pays

    _check(errors, n, level)
    return 1.0 if errors == n else float(betaincinv(errors + 1, n - errors, level))


def hypergeometric_upper(errors: int, n: int, size: int, level: float = 0.95) -> int:
    """The most wrong rows a pool of `size` may hold, those seen included, when `errors` of `n` drawn from it are wrong.

    Drawn without replacement; one-sided as `binomial_upper`. Of the rows not drawn, at most this less `errors` are
    wrong. Raises ValueError as `binomial_upper`, and unless n <= size.

    >>> hypergeometric_upper(2, 100, 400)  # the stream's bound would be 6.2 %, 24 of 400
    22
    """
    _check(errors, n, level)
    if n > size:
        raise ValueError(f"{n} rows can't be drawn from {size}")
    low, high = errors, size - n + errors  # the answer lies between, both included
    while low < high:
        middle = (low + high + 1) // 2
        if hypergeometric_cdf(errors, size, middle, n) > (1 - level) * _TIES:
            low = middle
        else:
            high = middle - 1
    return low


def hypergeometric_cdf(
    errors: ArrayLike, size: ArrayLike, wrong: ArrayLike, n: ArrayLike
) -> NDArray[np.float64]:  # fmt: skip
    """The chance of at most `errors` wrong among `n` drawn without replacement from `size` rows that hold `wrong`.

    The arguments are broadcast against each other; where errors is negative it is 0. scipy's own adds the terms of one
    element after the other: this one takes a ladder of thresholds at once.

    >>> float(hypergeometric_cdf(0, 10, 1, 5).round(6))
    0.5
    """
    given = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (errors, size, wrong, n)))
    shape = given[0].shape
    e, total, bad, drawn = (a.reshape(-1, 1) for a in given)
    share = bad / np.maximum(total, 1)
    spread = np.sqrt(drawn * share * (1 - share) * (total - drawn) / np.maximum(total - 1, 1))
    reach = np.ceil(_FAR * spread) + _NEAR
    top = np.minimum(e, np.ceil(drawn * share) + reach)  # all that lies above adds nothing
    width = min(2 * int(reach.max(initial=0)), int(max(top.max(initial=0), 0)))
    terms = top - np.arange(width + 1)
    possible = (terms >= np.maximum(0, drawn - (total - bad))) & (terms <= np.minimum(bad, drawn))
    k = np.where(possible, terms, np.minimum(bad, drawn))  # any term there is: what is not possible counts 0 below

    log_factorial = _log_factorials(int(total.max(initial=0)))

    def ways(of: NDArray[np.float64], some: NDArray[np.float64]) -> NDArray[np.float64]:
        return log_factorial(of) - log_factorial(some) - log_factorial(np.maximum(of - some, 0))

    logs = ways(bad, k) + ways(total - bad, drawn - k) - ways(total, drawn)
    result = np.where(possible, np.exp(np.minimum(logs, 0.0)), 0.0).sum(axis=1)
    return np.where(e[:, 0] >= np.minimum(bad, drawn)[:, 0], 1.0, np.minimum(result, 1.0)).reshape(shape)


def _log_factorials(most: int) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """ln k! of integers up to `most`: looked up where the pool is small, which is ten times as fast."""
    if most < _TABLE:
        table = _table()
        return lambda k: table[k.astype(np.intp)]
    from scipy.special import gammaln

    return lambda k: np.asarray(gammaln(k + 1), np.float64)


@functools.cache
def _table() -> NDArray[np.float64]:
    from scipy.special import gammaln

    return np.asarray(gammaln(np.arange(_TABLE) + 1.0), np.float64)


def labels_for(max_error: float, level: float = 0.95) -> int:
    """How many labels without a single error it takes to bound the error rate of a stream by `max_error`.

    About ln(1 / (1 - level)) / max_error. Raises ValueError unless both lie between 0 and 1.

    >>> labels_for(0.05), labels_for(0.02), labels_for(0.01)
    (59, 149, 299)
    """
    if not 0 < max_error < 1 or not 0 < level < 1:
        raise ValueError(f"no number of labels bounds an error by {max_error} at level {level}")
    return math.ceil(math.log(1 - level) / math.log1p(-max_error))


def _check(errors: int, n: int, level: float) -> None:
    if not 0 <= errors <= n or not 0 < level < 1:
        raise ValueError(f"no bound: {errors} wrong of {n} at level {level}")
