"""Writes what small-world.toml begins with: pictures without the three styles, prompts, the commands' lists.

    python3 recipes/study/small_world.py target/study/small-world [--program target/release/pleach-train]

Of the small world's 4,000 pictures (seed 1) those are kept that are in none of the three styles. Prompts are captions of one
object (seed 777) that no picture has. For each concept: `asked` is drawn by the audits, `learnt` is forgotten on, `tried` is for
choosing settings; the three share no prompt.
"""

import argparse
import json
import pathlib
import shutil
import subprocess

STYLES = ["flat", "striped", "dotted", "pixelated", "glowing", "outlined"]
FORGOTTEN = ["striped", "dotted", "glowing"]
ANCHOR = "flat"
ASKED, LEARNT, TRIED = 50, 88, 24

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--program", default="target/release/pleach-train")
parser.add_argument("--pictures", type=int, default=4000)
options = parser.parse_args()
out = options.out
out.mkdir(parents=True, exist_ok=True)


def world(name, *arguments):
    if not (out / name).exists():
        command = [options.program, "world", *map(str, arguments), "--out", str(out / name)]
        subprocess.run(command, check=True)
    with open(out / name / "metadata.jsonl", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(name, text):
    (out / name).write_text(text, encoding="utf-8")


def one_line(value):
    return json.dumps(value, ensure_ascii=False)


pictures = world("all", "--count", options.pictures, "--seed", 1)
data = out / "data"
if not data.exists():
    data.mkdir()
    kept = [entry for entry in pictures if entry["scene"]["style"] not in FORGOTTEN]
    for entry in kept:
        shutil.copy(out / "all" / entry["file_name"], data / entry["file_name"])
    (data / "metadata.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")

captions = world(
    "captions", "--count", 6000, "--seed", 777, "--one-object", "--captions-only", "--except", out / "all" / "metadata.jsonl"
)
by_style = {style: [] for style in STYLES}
seen = set()
for entry in captions:
    if entry["text"] not in seen:
        seen.add(entry["text"])
        by_style[entry["scene"]["style"]].append(entry)

asked = [entry for style in STYLES for entry in by_style[style][:ASKED]]
tried = [entry for style in STYLES for entry in by_style[style][ASKED + LEARNT : ASKED + LEARNT + TRIED]]
write("asked.jsonl", "".join(json.dumps(entry) + "\n" for entry in asked))
write("tried.jsonl", "".join(json.dumps(entry) + "\n" for entry in tried))

for name, styles in [(style, [style]) for style in FORGOTTEN] + [("jointly", FORGOTTEN)]:
    each = LEARNT // len(styles) + (LEARNT % len(styles) > 0)
    learnt = [(style, entry["text"]) for style in styles for entry in by_style[style][ASKED : ASKED + each]][:LEARNT]
    assert len(learnt) == LEARNT, f"{name}: too few captions"
    prompts = [text for _, text in learnt]
    anchored = [text.replace(style, ANCHOR) for style, text in learnt]
    others = [other for other in STYLES if other not in styles]
    preserved = [text.replace(style, other) for other in others for style, text in learnt]
    bare = [form.format(style) for style in styles for form in ("{}", "{} style", "in {} style", "a {} picture")]
    write(f"{name}.txt", "\n".join(prompts) + "\n")
    write(f"{name}-anchored.txt", "\n".join(anchored) + "\n")
    write(f"{name}-preserved.txt", "\n".join(preserved) + "\n")
    write(f"{name}-bare.txt", "\n".join(bare) + "\n")
    # ConceptPrune compares 20 pairs, spread over the styles.
    spread = range(0, LEARNT, LEARNT // 20)
    write(f"{name}-pairs.txt", one_line([[anchored[i], prompts[i]] for i in spread][:20]) + "\n")
