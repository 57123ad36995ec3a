"""Fee, split and credits of one record."""

from dataclasses import dataclass


@dataclass
class Params:
    platform_fee: int
    beta: int
    gamma: int
    base_share: int
    max_spans: int = 512
    max_payees: int = 34
    max_record_age: int = 1 << 40
    max_record_bytes: int = 65_536

    @property
    def earners(self) -> int:
        return min(32, self.max_payees - 2)


@dataclass
class Model:
    id: int
    base: int
    owner: bytes
    in_rate: int
    out_rate: int
    tokenizer: bytes
    profile: bytes
    sources: list
    retired: bool = False


def fee_of(n_in: int, n_out: int, in_rate: int, out_rate: int, platform: int) -> int:
    return -(-n_in * in_rate // 1000) - (-n_out * out_rate // 1000) + platform


def split(fee: int, params: Params, with_adapter: bool) -> dict:
    net = fee - params.platform_fee
    model = net * params.beta // 10_000
    base = model * params.base_share // 10_000 if with_adapter else model
    stakers = net * params.gamma // 10_000
    return {
        "base": base,
        "adapter": model - base,
        "stakers": stakers,
        "contributors": net - model - stakers,
    }


def settle(params: Params, base: Model, adapter, n_in: int, n_out: int, shares: list, contributor_of):
    """(fee, totals of this record, credits [(account, amount)] in the order of first mention)."""
    billed = adapter or base
    fee = fee_of(n_in, n_out, billed.in_rate, billed.out_rate, params.platform_fee)
    parts = split(fee, params, adapter is not None)
    credits = {}

    def credit(account: bytes, amount: int):
        if amount:
            credits[account] = credits.get(account, 0) + amount

    credit(base.owner, parts["base"])
    if adapter is not None:
        credit(adapter.owner, parts["adapter"])
    contributors = 0
    for contribution, ppb in shares:
        amount = parts["contributors"] * ppb // 10**9
        contributors += amount
        credit(contributor_of(contribution), amount)
    totals = {
        "fees": fee,
        "platform": params.platform_fee,
        "model": parts["base"] + parts["adapter"],
        "stakers": parts["stakers"],
        "contributors": contributors,
        "treasury": parts["contributors"] - contributors,
    }
    return fee, totals, list(credits.items())
