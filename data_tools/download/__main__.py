"""Command: download TUT Rare Sound Events 2017, the data of the paper (Sec. 4): `python -m data_tools.download DIR`."""

import contextlib
import sys
from pathlib import Path

from data_tools.console import Parser, Several, command, subset_name
from data_tools.download.packages import BASE_URL, COLLECTIONS, LICENCE

# The data set has two parts, named after the challenge's stages; train and dev mixtures come from the first.
PARTS = {"train": "development", "dev": "development", "eval": "evaluation"}


def parse_arguments(argv=None):
    """Command line → namespace."""
    sizes = {
        subset: sum(package.n_bytes or 0 for package in item.packages) / 1e9 for subset, item in COLLECTIONS.items()
    }
    parser = Parser(
        "data_tools.download",
        "DIR",
        description="Download TUT Rare Sound Events 2017 from Zenodo over https, check every file by size and MD5 sum "
        "(no other sums are known), and unpack it into DIR, which --data then takes. If it is stopped, in whatever "
        "way, the same command continues; a complete data set is left alone without a request.",
        epilog=LICENCE,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder for the data, created if missing")
    parser.add_argument(
        "--subset",
        action=Several,
        type=subset_name,
        choices=list(PARTS),
        default=list(PARTS),
        help="what is wanted. train or dev: the development set, events and backgrounds that both are mixed from, "
        f"{sizes['development']:.1f} GB; eval: the evaluation set, the challenge's mixtures, "
        f"{sizes['evaluation']:.1f} GB (default: all)",
    )
    parser.add_argument(
        "--keep-zips",
        action="store_true",
        help="keep the zip files; without it each is deleted once it is unpacked, which saves their size on disk",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print files, sizes and disk space needed; use no network",
    )
    return parser.parse_args(argv)


@command
def main(argv=None):
    """Print licence and plan; install unless it is a dry run."""
    args = parse_arguments(argv)
    from data_tools.download import install

    wanted = {PARTS[subset] for subset in args.subset}
    plans = [install.plan(COLLECTIONS[part], args.folder) for part in COLLECTIONS if part in wanted]
    if args.dry_run:
        print("\n".join(table(plans, args.folder)))
    if any(plan.packages for plan in plans):
        n_to_fetch = sum(plan.n_to_fetch for plan in plans) / 1e9
        needed = install.disk_needed(plans, keep_zips=args.keep_zips) / 1e9
        free = install.free_bytes(args.folder) / 1e9
        print(f"{LICENCE}\n\n{args.folder}: {n_to_fetch:.2f} GB to fetch; disk space: ", end="")
        print(f"about {needed:.1f} GB needed, {free:.1f} GB free", flush=True)
    if not args.dry_run:
        with contextlib.closing(Bars()) as progress:
            folders = install.install(
                [plan.collection for plan in plans], args.folder, keep_zips=args.keep_zips, progress=progress
            )
        for folder in folders:
            print(f"{folder}: complete")


def table(plans, root):
    """The lines of a table: every package with its size and sum, and how much of it is there."""
    for plan in plans:
        missing = dict(zip(plan.packages, plan.n_here, strict=True))
        yield f"{plan.collection.subset}: {BASE_URL}/{plan.collection.record} → {root / plan.collection.folder}"
        yield f"  {'bytes':>13}  {'MD5':32}  {'here':>5}  file"
        for package in plan.collection.packages:
            size = "not recorded" if package.n_bytes is None else f"{package.n_bytes:,}"
            here = f"{missing[package] / (package.n_bytes or 1):.0%}" if package in missing else "done"
            yield f"  {size:>13}  {package.md5}  {here:>5}  {package.name}"
        total = sum(package.n_bytes or 0 for package in plan.collection.packages)
        yield f"  {total:>13,}  in {len(plan.collection.packages)} files\n"


class Bars:
    """The `progress` of `install`, as a tqdm bar for each file that is fetched or unpacked."""

    def __init__(self):
        self.what, self.bar = None, None

    def __call__(self, what, n_done, n_total):
        """Show that `n_done` of `n_total` bytes are done."""
        from tqdm import tqdm

        if what != self.what:
            self.close()
            self.what = what
            self.bar = tqdm(
                total=n_total, initial=n_done, desc=what, unit="B", unit_scale=True, leave=False, disable=None
            )
        self.bar.update(n_done - self.bar.n)

    def close(self):
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()


if __name__ == "__main__":
    sys.exit(main())
