from __future__ import annotations

import errno
import os
import resource
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from agent import Agent
from errors import NotSaved, UserError
from tests.small_agent import make_agent
from watch import recorder
from watch.agent_view import AgentView
from watch.film import open_new
from watch.frames import Frame
from watch.joystick import attached
from watch.recorder import FrameFolder, Recorder, progress, recording


@pytest.fixture(autouse=True)
def small_films(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take a quarter of the time."""
    monkeypatch.setattr(recorder, "FILM_HEIGHT", 420)


def listen(agent: Agent) -> list[Frame]:
    """The frames of the game, as they come."""
    frames: list[Frame] = []
    game: Any = agent.games[0]
    game.environment.frame_listeners.append(frames.append)
    return frames


def record(agent: Agent, *, games: int, **settings: Any) -> AgentView:
    with recording(agent, games=games, **settings) as view:
        agent.play(games)
    return view


def test_a_recording_is_the_game(tmp_path: Path) -> None:
    agent = make_agent("pong", frames=120)
    frames = listen(agent)
    view = record(
        agent,
        game="pong",
        games=1,
        video_file=tmp_path / "pong.mov",
        screen_path=tmp_path / "pong",
        sound_file=tmp_path / "pong.wav",
    )
    assert len(view.scores) == 1
    game = frames[:120]  # the rest is the opening of a game that nobody plays
    pngs = sorted((tmp_path / "pong").iterdir())
    assert [png.name for png in pngs] == [f"{n:06}.png" for n in range(120)]
    for n in (0, 100, 119):
        np.testing.assert_array_equal(np.asarray(Image.open(pngs[n]))[:, ::2], game[n].rgb)
    sound = np.concatenate([frame.audio for frame in game if frame.audio is not None])
    with wave.open(str(tmp_path / "pong.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (30_720, 1, 1)
        assert file.readframes(file.getnframes()) == sound.tobytes()
    with av.open(str(tmp_path / "pong.mov")) as video:
        pictures = [f.to_ndarray(format="rgb24") for f in video.decode(video=0)]
    assert len(pictures) == 120
    for n in (0, 100, 119):
        assert pictures[n].shape == (420, 640, 3)
        assert np.abs(pictures[n][1::2, 2::4].astype(int) - game[n].rgb).mean() < 2
    with av.open(str(tmp_path / "pong.mov")) as video:
        heard = np.concatenate([f.to_ndarray()[0] for f in video.decode(audio=0)])
    loud = np.abs(sound.astype(float) - 128) > 5
    assert loud.mean() > 0.01  # the ball is heard
    # where the game sounds, the film does, and nowhere else
    in_film = np.abs(heard[: 120 * 800]).reshape(120, 800).max(axis=1) > 0.05
    assert (in_film == loud.reshape(120, 512).any(axis=1)).mean() > 0.95


@pytest.mark.parametrize("name", ["film.gif", "FILM.GIF"])
def test_a_gif_is_small_however_its_name_is_written(tmp_path: Path, name: str) -> None:
    record(make_agent(frames=40), game="breakout", games=1, video_file=tmp_path / name)
    with Image.open(tmp_path / name) as film:
        assert film.size == (320, 210)


@pytest.mark.parametrize("flickers", [True, False])
def test_a_gif_keeps_sprites_of_skipped_frames_if_they_flicker(
    tmp_path: Path, flickers: bool
) -> None:
    agent = make_agent(frames=60)
    with recording(agent, game="breakout", games=1, video_file=tmp_path / "film.gif"):
        game: Any = agent.games[0]
        (listener,) = game.environment.frame_listeners
        dark = np.zeros_like(game.environment.frame_rgb())
        for n in range(6):
            listener(Frame(np.full_like(dark, 255) if n == 2 else dark, None, flickers=flickers))
    with av.open(str(tmp_path / "film.gif")) as file:
        shown = [f.to_ndarray(format="rgb24").max() for f in file.decode(video=0)]
    assert shown == [0, 255 if flickers else 0]


def test_a_game_without_sound_has_no_sound_file(tmp_path: Path) -> None:
    agent = make_agent(frames=60)
    game: Any = agent.games[0]
    game.environment.sound = False
    file = tmp_path / "sound.wav"
    with (
        pytest.raises(UserError, match="no sound in this game"),
        recording(agent, game="breakout", games=1, video_file=None, sound_file=file),
    ):
        pass
    assert not file.exists()


def test_recording_changes_nothing(tmp_path: Path) -> None:
    def game(overlay: str | None) -> list[NDArray[np.uint8]]:
        agent = make_agent(frames=60)
        frames = listen(agent)
        if overlay is None:
            agent.play(1)
        else:
            file = tmp_path / f"{overlay}.mp4"
            record(agent, game="breakout", games=1, video_file=file, overlay=overlay)
            environment: Any = agent.games[0]
            assert type(environment.environment).__name__ == "ALEEnvironment"
            assert agent.callbacks == []
        return [frame.rgb for frame in frames]

    plain = game(None)
    np.testing.assert_array_equal(plain, game("none"))
    np.testing.assert_array_equal(plain, game("mind"))


def test_the_agents_view_beside_the_game(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    record(make_agent(frames=60), game="breakout", games=1, video_file=path, overlay="mind")
    with av.open(str(path)) as file:
        pictures = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
    assert len(pictures) == 20
    assert pictures[0].shape == (630, 960 + 392, 3)
    panel = pictures[-1][:, 960:]
    assert len(np.unique(panel.reshape(-1, 3), axis=0)) > 12  # something is drawn there
    assert (np.abs(panel.astype(int) - (255, 176, 0)).sum(axis=2) < 20).sum() > 500  # amber


def test_recorded_while_it_is_watched(tmp_path: Path) -> None:
    """One may be inside the other: both see every frame, and the hand still holds the joystick."""
    agent = make_agent(frames=60)
    frames = listen(agent)
    environment: Any = agent.games[0]
    watcher = AgentView(agent, game="breakout", action_names=environment.environment.action_names)
    seen: list[Frame] = []
    path = tmp_path / "film.mov"
    with (
        attached(agent, watcher, seen.append, lambda: "RIGHT"),
        recording(agent, game="breakout", games=1, video_file=path) as recorded,
    ):
        agent.play(1)
    assert len(watcher.scores) == len(recorded.scores) == 1
    assert watcher.changes == recorded.changes > 10
    assert len(seen) == len(frames)
    with av.open(str(path)) as file:
        assert len(list(file.decode(video=0))) == 60
    paddle = np.flatnonzero((frames[59].rgb[190] == (200, 72, 72)).all(axis=1))
    assert paddle.max() > 140
    assert agent.callbacks == []


def test_what_cannot_be_written_is_said_before_the_game(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inside = tmp_path / "file" / "x"
    places: list[dict[str, Any]] = [
        dict(video_file=inside.with_suffix(".mov")),
        dict(video_file=None, screen_path=inside),
        dict(video_file=None, sound_file=inside),
    ]
    for place in places:
        agent = make_agent(frames=40)
        frames = listen(agent)
        with pytest.raises(UserError, match="Not a directory"):
            record(agent, game="breakout", games=1, **place)
        assert not frames


def test_full_disk_keeps_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(FrameFolder):
        def add(self, picture: NDArray[np.uint8], audio: NDArray[np.uint8] | None) -> None:
            if self.frames == 70:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().add(picture, audio)

    monkeypatch.setattr(recorder, "FrameFolder", Full)
    path = tmp_path / "film.mov"
    with pytest.raises(NotSaved, match=r"after 70 frames \(No space left on device"):
        record(
            make_agent(frames=200),
            game="breakout",
            games=1,
            video_file=path,
            screen_path=tmp_path / "frames",
        )
    with av.open(str(path)) as file:
        assert len(list(file.decode(video=0))) in (70, 71)


@pytest.mark.parametrize("room", [20, 1500], ids=["for none", "for a blank one"])
def test_a_full_disk_leaves_no_half_picture(tmp_path: Path, room: int) -> None:
    folder = FrameFolder(tmp_path / "frames")
    noise = np.zeros((210, 160, 3), np.uint8)
    noise[:20, :40] = np.random.default_rng(1).integers(0, 256, (20, 40, 3))  # more than 3 kB
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OSError, match="File too large"):  # noqa: PT012 - as many as have room
            folder.add(np.zeros_like(noise), None)
            folder.add(noise, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        folder.close()
    whole = {20: [], 1500: ["000000.png"]}[room]
    assert [path.name for path in (tmp_path / "frames").iterdir()] == whole


@pytest.mark.parametrize("name", ["film.mov", "film.gif", "sound.wav"])
def test_a_disk_that_is_full_from_the_beginning_gives_a_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    place = (
        {"sound_file": path, "video_file": None} if name == "sound.wav" else {"video_file": path}
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        with pytest.raises(NotSaved, match=r"ended early after .* \(File too large"):
            record(make_agent(frames=100), game="breakout", games=1, **place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_only_one_process_writes_a_film_and_into_a_file_only(tmp_path: Path) -> None:
    film = tmp_path / "film.mov"
    with open_new(film) as file:
        with pytest.raises(UserError, match="another process is writing it"):
            record(make_agent(frames=40), game="breakout", games=1, video_file=film)
        file.write(b"film")
    with pytest.raises(UserError, match="another process has just written it"):
        record(make_agent(frames=40), game="breakout", games=1, video_file=film)
    link, pipe = tmp_path / "link.mov", tmp_path / "pipe.gif"
    link.symlink_to(tmp_path / "victim")
    os.mkfifo(pipe)
    for path, sentence in ((link, "symbolic link"), (pipe, "no regular file")):
        with pytest.raises(UserError, match=sentence):
            record(make_agent(frames=40), game="breakout", games=1, video_file=path)
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(("ending", "brand"), [("mov", b"qt  "), ("mp4", b"iso")])
def test_a_film_is_of_the_kind_that_its_name_says(
    ending: str, brand: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"film.{ending}"
    record(make_agent(frames=40), game="breakout", games=1, video_file=path)
    assert path.read_bytes()[8:12].startswith(brand)


def test_a_films_name_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record(make_agent(frames=40), game="breakout", games=1, video_file=Path("seed:1.mov"))
    assert (tmp_path / "seed:1.mov").stat().st_size


def test_stopped_recording_is_whole(tmp_path: Path) -> None:
    agent = make_agent(frames=200)
    frames = listen(agent)

    def stop(frame: Frame) -> None:
        if len(frames) == 100:
            agent.stop()

    game: Any = agent.games[0]
    game.environment.frame_listeners.append(stop)
    view = record(agent, game="breakout", games=1, video_file=tmp_path / "film.mov")
    assert view.scores == []
    with av.open(str(tmp_path / "film.mov")) as file:
        assert len(list(file.decode(video=0))) == len(frames)


@pytest.mark.parametrize(
    ("shape", "factor", "size"),
    [
        ((210, 160), 4, (1280, 840)),
        ((250, 160), 3, (960, 750)),
        ((63, 33), 13, (428, 818)),
        ((400, 600), 2, (1200, 800)),
    ],
)
@pytest.mark.parametrize("shows_view", [False, True])
def test_films_have_even_sizes(
    shape: tuple[int, int], factor: int, size: tuple[int, int], shows_view: bool
) -> None:
    agent = make_agent(frames=40)
    view = AgentView(agent, game="x", action_names=("NOOP", "FIRE", "LEFT", "RIGHT"))
    filming = Recorder(agent, view, games=1, factor=factor, shows_view=shows_view)
    picture = np.zeros((*shape, 3), np.uint8)
    width, height = filming.size(picture)
    assert (width % 2, height % 2) == (0, 0)
    assert filming.picture(picture).shape == (height, width, 3)
    if not shows_view:
        assert (width, height) == size


def test_a_full_disk_ends_the_recording_of_a_run_but_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    agent = make_agent(frames=60)
    full = OSError(errno.ENOSPC, "No space left on device")
    sound = tmp_path / "game.wav"

    def add(self: Any, *_: Any) -> None:
        if sound.stat().st_size > 100:
            raise full
        sound.write_bytes(bytes(200))

    monkeypatch.setattr("watch.recorder.SoundFile.add", add)
    sentence = r"The recording ended early after 1 frames \(No space left on device\)"
    with (
        pytest.raises(NotSaved, match=sentence),
        recording(agent, game="breakout", games=0, video_file=None, sound_file=sound) as view,
    ):
        agent.play(1)
    assert not agent.stopped
    assert len(view.scores) == 1
    assert caplog.text.count("The run continues") == 1


def test_a_bar_counts_frames_and_tells_the_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    always = {"disable": False, "mininterval": 0}
    monkeypatch.setattr("watch.recorder.tqdm", lambda **settings: tqdm(**settings | always))
    agent = make_agent(frames=40)
    before = listen(agent)
    with (
        recording(agent, game="breakout", games=1, video_file=tmp_path / "film.mov") as view,
        progress(agent, view),
    ):
        agent.play(1)
    bar = capsys.readouterr().err
    assert f"{len(before)} frames [" in bar
    assert "score 0" in bar
    game: Any = agent.games[0]
    assert game.environment.frame_listeners == [before.append]
