"""Makes the pictures in README.md and docs/, with the program's own verbs.

    docs/pictures.sh agents/breakout_fast_seed1_20.pkl [--second 113] [--film 110] [--film_alone]

Films a game with the agent's view and takes a frame of it, films ten seconds without it, takes a
picture of the filter page in Chromium (playwright must be installed, see requirements-dev.txt), and
draws the curves. With --film_alone, only the ten seconds are filmed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import av
from PIL import Image
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from config import ROOT
from snapshot.format import game_of, read_snapshot

IMAGES = ROOT / "docs" / "images"
FRAMES_PER_SECOND = 60
SEED = ["--random_seed", "1"]


def run(verb: str, *words: str | Path) -> None:
    """A verb, as in a shell."""
    subprocess.run([ROOT / f"{verb}.sh", *map(str, words)], check=True)


def until(second: float) -> list[str]:
    """A flag that ends the game there, since what comes after is not needed."""
    return ["--max_episode_frames", str(round(second * FRAMES_PER_SECOND))]


def film(snapshot: Path, second: float, file: Path) -> None:
    """A frame of the film of a game with the agent's view."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        flags = ["--play_games", "1", "--overlay", "mind", *until(second + 1), *SEED]
        run("record", snapshot, *flags, "--video_file", path)
        with av.open(str(path)) as video:
            for number, picture in enumerate(video.decode(video=0)):  # noqa: B007
                if number >= second * FRAMES_PER_SECOND:
                    break
    image = Image.fromarray(picture.to_ndarray(format="rgb24"))
    image.quantize(256).save(file, optimize=True)


def short_film(snapshot: Path, second: float, file: Path) -> None:
    """Ten seconds of a game as a GIF, 15 pictures per second."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        flags = ["--play_games", "1", *until(second + 10), *SEED]
        run("record", snapshot, *flags, "--video_file", path)
        with av.open(str(path)) as video:
            first, last = second * FRAMES_PER_SECOND, (second + 10) * FRAMES_PER_SECOND
            pictures = [
                Image.fromarray(picture.to_ndarray(format="rgb24")).resize((320, 420))
                for number, picture in enumerate(video.decode(video=0))
                if first <= number < last and number % 4 == 0
            ]
    if not pictures:
        sys.exit(f"The game ended before second {second:g}: choose an earlier one.")
    few = [picture.quantize(32) for picture in pictures]
    few[0].save(file, save_all=True, append_images=few[1:], duration=66, loop=0, optimize=True)


def filters(snapshot: Path, file: Path) -> None:
    """The last convolution on the filter page."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "page.html"
        run("nvis", snapshot, *SEED, "--visualization_file", path)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(path.as_uri())
        page.get_by_role("link", name="convolution 3").click()
        page.wait_for_timeout(3000)
        page.screenshot(path=str(file))
        browser.close()


def curves(file: Path, again: Path) -> None:
    """The curves of 2015: all epochs, and the first ones beside those of the same agent here."""
    original = ROOT / "tests" / "original_results" / "breakout.csv"
    run("plot", original, "--png_file", file)
    rows = original.read_text().splitlines(keepends=True)
    seeds = sorted((ROOT / "docs" / "experiments").glob("breakout_2015_seed*.csv"))
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "breakout_of_2015.csv"
        longest = max(len(path.read_text().splitlines()) for path in seeds)
        first.write_text("".join(rows[:longest]))
        here = [Path(folder) / path.name.replace("2015_seed", "again_") for path in seeds]
        for path, copy in zip(seeds, here, strict=True):
            shutil.copy(path, copy)
        flags = ["--fields", "average_reward,meanq", "--figure_height", "5"]
        run("plot", first, *here, "--png_file", again, *flags)


def scores(file: Path, runs: dict[str, str]) -> None:
    """Scores of runs in docs/experiments; `runs` has their names by those in the picture."""
    folder = ROOT / "docs" / "experiments"
    with tempfile.TemporaryDirectory() as temporary:
        files = [Path(temporary) / f"{name}.csv" for name in runs]
        for copy, name in zip(files, runs.values(), strict=True):
            shutil.copy(folder / f"{name}.csv", copy)
            shutil.copy(folder / f"{name}.json", copy.with_suffix(".json"))
        flags = ["--fields", "average_reward", "--figure_width", "9", "--figure_height", "5"]
        run("plot", *files, "--png_file", file, *flags)


def main() -> None:
    """All pictures of a snapshot."""
    parser = argparse.ArgumentParser(prog="docs/pictures.sh", description=__doc__.splitlines()[0])
    parser.add_argument("snapshot", type=Path, help="of the agent that is shown")
    parser.add_argument("--second", type=float, default=113, help="of the game that is shown [113]")
    parser.add_argument(
        "--film", type=float, default=110, help="second at which the film begins [110]"
    )
    parser.add_argument("--film_alone", action="store_true", help="make no other picture")
    options = parser.parse_args()
    game = game_of(options.snapshot, read_snapshot(options.snapshot))
    short_film(options.snapshot, options.film, IMAGES / f"{game}.gif")
    if options.film_alone:
        return
    film(options.snapshot, options.second, IMAGES / "record_mind.png")
    filters(options.snapshot, IMAGES / "nvis.png")
    curves(IMAGES / "breakout_2015.png", IMAGES / "breakout_2015_again.png")
    scores(
        IMAGES / "breakout_bytes.png",
        {
            "pixels_0_to_1_seed2": "breakout_fast_seed2",
            "pixels_as_bytes_seed1": "breakout_bytes_seed1",
            "pixels_as_bytes_seed2": "breakout_bytes_seed2",
        },
    )
    pong = ("pong_fast_seed2", "pong_fast_seed3", "pong_duel_seed1")
    scores(IMAGES / "pong_seeds.png", {name: name for name in pong})


if __name__ == "__main__":
    main()
