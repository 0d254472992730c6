"""Draw the folder of a person: photos, notes, a manual and letters as PDF, videos and voice memos."""

from collections.abc import Sequence
from pathlib import Path
from shutil import copy

from tests.support.audio_files import write_audio
from tests.support.document_files import pdf
from tests.support.video_files import write_video

NOTES = {
    "recipes/sourdough.md": (
        "Feed the starter in the evening with flour and water.\n\nMix the dough in the morning, rest for an "
        "hour, then add salt.\n\nFold every half hour, four times, and shape a loaf.\n\nBake at 240 degrees "
        "in a closed pot for 45 minutes."
    ),
    "recipes/lemon-tart.md": (
        "Line the tin with pastry and chill it.\n\nWhisk eggs, sugar, cream and the juice of four lemons."
        "\n\nBake until it just trembles, then let it cool before you cut it."
    ),
    "notes/packing.txt": (
        "Passports, tickets, chargers, sunscreen.\n\nTent, sleeping bags, stove and gas.\n\nAsk Maria to "
        "water the plants and feed the cat."
    ),
    "notes/meeting-2024-03.txt": (
        "The budget was approved with one change.\n\nPeter writes the offer until Friday.\n\nNext meeting in "
        "two weeks, by phone.\n\nOpen question: who trains the new colleagues?"
    ),
    "notes/garden.txt": (
        "Prune the apple tree in February.\n\nSow tomatoes indoors in March and plant them out after the "
        "frost.\n\nThe hedge needs cutting before the birds nest."
    ),
    "notes/books.txt": (
        "Finished the novel about the island doctor.\n\nLent the atlas to Jonas.\n\nThe biography was "
        "too long, but the chapter on the voyage is good."
    ),
    "notes/car.txt": (
        "Winter tyres on in October, off in April.\n\nOil changed at 84,000 kilometers.\n\nThe left mirror "
        "was replaced by the insurance."
    ),
    "home/wifi.txt": "Network: maple-street\n\nPassword: correct-horse-42\n\nThe router is behind the sofa.",
    "home/rental-contract.txt": (
        "The tenant pays the rent on the third working day of each month.\n\nThe notice period is three "
        "months.\n\nSmall repairs up to 100 euros are paid by the tenant.\n\nPets need the consent of the "
        "landlord.\n\nThe deposit is three monthly rents."
    ),
    "letters/insurance.txt": (
        "Thank you for your report of the damage of 4 May.\n\nWe will pay the repair of the window.\n\n"
        "Please send us the invoice of the glazier."
    ),
    "letters/school.txt": (
        "Dear parents, the summer festival takes place on 21 June.\n\nPlease bring cakes and salads.\n\nThe "
        "class trip goes to the lake this year."
    ),
    "work/cv.txt": (
        "Ten years of experience in logistics.\n\nLed a team of six people.\n\nLanguages: English, German, "
        "some Spanish.\n\nHobbies: hiking, chess, photography."
    ),
}
MANUAL = (
    "Washing machine\nSafety instructions\nRead before use",
    "Installation\nRemove the transport bolts\nLevel the feet",
    "Programs\nCotton 40\nWool 30\nSpin only",
    "Errors\nE18 the drain pump is blocked\nE21 the motor does not turn",
    "Care\nClean the drawer and the seal\nRun an empty program at 90 degrees",
)


def draw_home_folder(folder: Path, photos: Sequence[Path], *, silent_memos: int = 2) -> Path:
    """Write the folder; `silent_memos` are sound files without tags."""
    for number, photo in enumerate(photos):
        target = folder / "photos" / f"{2015 + number % 8}"
        target.mkdir(parents=True, exist_ok=True)
        copy(photo, target / f"IMG_{number:04d}.jpg")
    for name, text in NOTES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n", "utf-8")
    (folder / "washing-machine-manual.pdf").write_bytes(pdf([("white", text) for text in MANUAL]))
    (folder / "invoice.pdf").write_bytes(
        pdf([("white", "Invoice 2024-117\nReplacement of a window\nTotal 312.50")])
    )
    for number in range(silent_memos):
        write_audio(folder / "memos" / f"memo-{number:03d}.wav", tones=((0, 1, 300 + number),))
    write_audio(folder / "music" / "track.mp3", tags={"title": "Blue Lamp", "artist": "The Harbour"})
    scenes = [("red", 3.0), ("green circle", 3.0), ("blue square", 3.0), ("yellow", 3.0)]
    write_video(folder / "videos" / "clip.mp4", scenes)
    return folder
