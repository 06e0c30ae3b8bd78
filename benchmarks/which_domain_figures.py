"""What a store's domains said of images, and the figures that are reckoned from it."""

import io
import itertools
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from addapt._disk import write_atomically
from addapt.demo.foreign import FOREIGN
from addapt.learning.recognising import MOST_ASKED, NEARLY, candidates

FILE = Path(__file__).parent / "results" / "which_domain.json"
WHOLE, PARTS = "whole", "parts"
NEAR = ("digits", "silhouettes", "fashion-mnist")
MANY = 200
TENFOLD = 3, 30  # domains, and their parts
NEARLIES, MOSTS = (1.0, 1.02, 1.05, 1.1, 1.2), (1, 2, 3, 5)

Row = dict[str, Any]
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Said:
    """What the domains of a store say of images (n,), by the numbers of the domains (d,).

    Args:
        names: of the domains.
        looks: how far each is at the shared look, (n, d).
        distance: how far its answer is, relative to its limit, (n, d); NaN where it was not asked.
        right: whether it answers with the class of the image, (n, d).
        label: the class of each image; empty if it is foreign.
        nearest: the number of the domain that `recognise` chose, (n,).
        stamp: of the domains' signatures.
    """

    names: npt.NDArray[np.str_]
    looks: Shares
    distance: Shares
    right: npt.NDArray[np.bool_]
    label: npt.NDArray[np.str_]
    nearest: npt.NDArray[np.int64]
    stamp: str

    def only(self, names: Sequence[str]) -> "Said":
        """Return what these domains say alone."""
        kept = np.flatnonzero(np.isin(self.names, names))
        columns = {name: getattr(self, name)[:, kept] for name in ("looks", "distance", "right")}
        nearest = np.full(len(self.looks), -1)  # of another store
        return replace(self, names=self.names[kept], nearest=nearest, **columns)

    def chosen(
        self, nearly: float = NEARLY, most: int = MOST_ASKED
    ) -> tuple[npt.NDArray[np.int64], float]:
        """Return the domain of each image as the product chooses, and how many are asked of one."""
        found, asked = [], 0
        for looks, distance in zip(self.looks, self.distance, strict=True):
            some = candidates(looks, nearly, most)
            asked += len(some)
            found.append(some[np.argmin(np.nan_to_num(distance[some], nan=np.inf))])
        return np.array(found), asked / len(found)

    def pick(self, values: npt.NDArray[Any], chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return of `values` (n, d) those of one domain for each image, (n,)."""
        return np.asarray(values[np.arange(len(chosen)), chosen])


def read_said(path: Path, stamp: str) -> Said | None:
    """Return what was said by domains that are still the same."""
    if not path.exists():
        return None
    with np.load(path) as arrays:
        said = Said(**{**arrays, "stamp": str(arrays["stamp"])})
    return said if said.stamp == stamp else None


def write_said(path: Path, said: Said) -> None:
    """Write what was said, whole or not at all."""
    content = io.BytesIO()
    np.savez(content, **vars(said))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())


def auroc(own: Sequence[float] | Shares, foreign: Sequence[float] | Shares) -> float:
    """Return how probably a foreign image is farther than an own one; of equals, half of it."""
    ordered = np.sort(own)
    nearer = np.searchsorted(ordered, foreign, "left") + np.searchsorted(ordered, foreign, "right")
    return float(nearer.mean() / 2 / len(own))


def accepted_at_95(own: Sequence[float] | Shares, foreign: Sequence[float] | Shares) -> float:
    """Return the share of foreign images accepted where 95 % of the own ones are."""
    return float((np.asarray(foreign) <= np.quantile(own, 0.95)).mean())


def choice(name: str, said: Said, own: Sequence[str], **rule: Any) -> Row:
    """Return how often the right domain, of each image's `own`, is chosen, and what follows."""
    chosen, asked = said.chosen(**rule)
    number_of = {domain: number for number, domain in enumerate(said.names.tolist())}
    numbers = np.array([number_of[domain] for domain in own])
    right = chosen == numbers
    accepted = said.pick(said.distance, chosen) <= 1
    answered = right & said.pick(said.right, chosen)
    return {
        "domain": name,
        "images": len(own),
        "chosen": float(right.mean()),
        "accepted": float(accepted.mean()),
        "end_to_end": float(answered.mean()),
        "oracle": float(said.pick(said.right, numbers).mean()),
        "answered": float((answered & accepted).mean()),
        "asked": asked,
    }


def foreign_row(kind: str, own: Sequence[Said], foreign: Said) -> Row:
    """Compare how far foreign images are with how far those of a store's own domains are."""
    near, far = (
        np.concatenate([one.pick(one.distance, one.chosen()[0]) for one in some])
        for some in (own, [foreign])
    )
    return {
        "foreign": kind,
        "near": kind in NEAR,
        "images": len(far),
        "auroc": auroc(near, far),
        "accepted_at_95": accepted_at_95(near, far),
        "accepted": float((far <= 1).mean()),
    }


@dataclass(frozen=True)
class Heard:
    """All that was said, by store and what was shown, and in which part a class of a domain is."""

    names: tuple[str, ...]
    said: dict[tuple[str, str], Said]
    part_of: dict[tuple[str, str], str]

    def require_same(self) -> None:
        """End if what is reckoned here is not what the product does."""
        same = np.concatenate([one.nearest == one.chosen()[0] for one in self.said.values()])
        if same.mean() < 0.999:  # of images that lie as near to two, rounding decides
            raise SystemExit(f"`recognise` chose otherwise in {1 - same.mean():.2%} of all cases.")

    def choices(self, store: str, sources: Sequence[str], **rule: Any) -> list[Row]:
        """Return `choice` for each of these domains, in a store of them alone."""
        part_of = {key: part for key, part in self.part_of.items() if key[0] in sources}
        kept = sources if store == WHOLE else [*part_of.values()]
        rows = []
        for source in sources:
            said = self.said[store, source].only(kept)
            own = [source if store == WHOLE else part_of[source, label] for label in said.label]
            rows.append(choice(source, said, own, **rule))
        return rows

    def foreign(self) -> list[Row]:
        """Leave each domain out of the store in turn, and show drawn images to all."""
        rows = []
        for kind in (*self.names, *FOREIGN):
            kept = [name for name in self.names if name != kind]
            if kept:
                own = [self.said[WHOLE, name].only(kept) for name in kept]
                rows.append(foreign_row(kind, own, self.said[WHOLE, kind].only(kept)))
        return rows

    def tenfold(self) -> list[Row]:
        """Compare stores of three domains with stores of their thirty parts, in means."""
        rows = []
        for some in itertools.combinations(self.names, TENFOLD[0]):
            parts = {part for (source, _), part in self.part_of.items() if source in some}
            if len(parts) != TENFOLD[1]:
                continue
            row: Row = {"domains": some}
            for store in (WHOLE, PARTS):
                mean = mean_of(self.choices(store, some))
                row[store] = {key: mean[key] for key in ("chosen", "end_to_end", "oracle")}
            rows.append(row)
        return rows


def mean_of(rows: Sequence[Row]) -> Row:
    numbers = [key for key, value in rows[0].items() if isinstance(value, float)]
    return {"domain": "mean", **{key: statistics.mean(row[key] for row in rows) for key in numbers}}


def table(result: Row) -> str:
    """Return the result as tables of Markdown."""
    lines = []
    fields = ("chosen", "accepted", "end_to_end", "oracle", "answered")
    for key, count in ((WHOLE, "domains"), (PARTS, "part_domains")):
        lines += [
            f"| {result[count]} domains | chosen | accepted | end to end | oracle "
            "| right and accepted | asked |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for row in (*result[key], mean_of(result[key])):
            cells = " | ".join(f"{100 * row[field]:.1f}" for field in fields)
            lines.append(f"| {row['domain']} | {cells} | {row['asked']:.2f} |")
        lines.append("")
    for row in result["tenfold"]:
        whole, parts = row[WHOLE], row[PARTS]
        lines.append(
            f"Tenfold, {', '.join(row['domains'])}: chosen {100 * whole['chosen']:.1f} and "
            f"{100 * parts['chosen']:.1f} %, end to end {100 * whole['end_to_end']:.1f} and "
            f"{100 * parts['end_to_end']:.1f} %."
        )
    lines += [
        "",
        "| foreign | kind | AUROC | accepted where 95 % are | accepted |",
        "|---|---|---:|---:|---:|",
    ]
    for row in result["foreign"]:
        kind = "near" if row["near"] else "far"
        shares = " | ".join(f"{100 * row[field]:.1f}" for field in ("accepted_at_95", "accepted"))
        lines.append(f"| {row['foreign']} | {kind} | {row['auroc']:.3f} | {shares} |")
    lines.append("")
    if times := result["time"].get("rows"):
        for way, words in (("not_named_s", ""), ("of_many_s", f", of {MANY} domains")):
            ratios = [row[way] / row["named_s"] for row in times]
            lines.append(
                f"Time{words}: {min(ratios):.2f}x to {max(ratios):.2f}x of the domain named."
            )
    parts = [row["index_s"] / row["learn_s"] for row in result["learned"] if "index_s" in row]
    if parts:
        lines.append(
            f"`addapt index` takes {min(parts):.1%} to {max(parts):.1%} of what learning takes; "
            "its signature is made likewise, from images that are decoded already."
        )
    return "\n".join(lines)


def read(path: Path = FILE) -> Row:
    """Return the result; nothing if there is none yet."""
    found: Row = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def words(result: Row) -> list[str]:
    """Return what the README says of it."""
    whole = mean_of(result[WHOLE])
    far, near = (
        min(row["auroc"] for row in result["foreign"] if row["near"] == alike)
        for alike in (False, True)
    )
    ratios = [row["not_named_s"] / row["named_s"] for row in result["time"]["rows"]]
    return [
        f"in {min(ratios):.2f}x to {max(ratios):.2f}x the time",
        f"the right domain for {100 * whole['chosen']:.1f} % of images",
        f"domain and class for {100 * whole['end_to_end']:.1f} %, "
        f"with the domain named {100 * whole['oracle']:.1f}",
        f"AUROC {far:.3f} at least, of images much like the domains' {near:.3f}",
    ]


def rules(heard: Heard) -> str:
    """Return what other shortlists choose, as a table of Markdown."""
    lines = [
        "| store | nearly | most | chosen | end to end | asked |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for store, nearly, most in itertools.product((WHOLE, PARTS), NEARLIES, MOSTS):
        mean = mean_of(heard.choices(store, heard.names, nearly=nearly, most=most))
        shares = " | ".join(f"{100 * mean[field]:.1f}" for field in ("chosen", "end_to_end"))
        lines.append(f"| {store} | {nearly} | {most} | {shares} | {mean['asked']:.2f} |")
    return "\n".join(lines)
