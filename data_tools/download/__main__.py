"""Command: download TUT Rare Sound Events 2017, the data of the paper (Sec. 4): `python -m data_tools.download DIR`."""

import argparse
import contextlib
import sys
from pathlib import Path

from data_tools.download.packages import BASE_URL, COLLECTIONS, LICENCE
from data_tools.errors import exit_on_input_error


def build_parser():
    """The command's arguments."""
    sizes = {
        subset: sum(package.n_bytes or 0 for package in item.packages) / 1e9 for subset, item in COLLECTIONS.items()
    }
    parser = argparse.ArgumentParser(
        prog="python -m data_tools.download",
        description="Download TUT Rare Sound Events 2017 from Zenodo over https, check every file by size and MD5 sum\n"
        "(no other sums are known), and unpack it into DIR, which can then be passed as --data. If interrupted, run\n"
        "the same command again: it resumes. A complete data set is not downloaded again.",
        epilog=LICENCE,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=120),
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder for the data, created if missing")
    parser.add_argument(
        "--subset",
        nargs="+",
        choices=list(COLLECTIONS),
        default=list(COLLECTIONS),
        help=f"development: events and backgrounds to mix train and dev from, {sizes['development']:.1f} GB; "
        f"evaluation: the challenge's mixtures, {sizes['evaluation']:.1f} GB (default: both)",
    )
    parser.add_argument(
        "--keep-zips",
        action="store_true",
        help="keep the zip files (default: delete each after unpacking it)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print files, sizes and disk space needed; use no network",
    )
    return parser


@exit_on_input_error
def main(argv=None):
    """Print licence and plan; install unless it is a dry run."""
    args = build_parser().parse_args(argv)
    from data_tools.download import install

    subsets = [subset for subset in COLLECTIONS if subset in args.subset]
    plans = [install.plan(COLLECTIONS[subset], args.folder) for subset in subsets]
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
