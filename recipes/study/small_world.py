"""Writes what the studies begin with: pictures without what is forgotten, prompts, the commands' lists.

    python3 recipes/study/small_world.py target/study/small-world [--program target/release/pleach-train]

Of the small world's 4,000 pictures (seed 1) those are kept that are in none of the three styles. Prompts are captions of one
object (seed 777) that no picture has. For each concept: `asked` is drawn by the audits, `learnt` is forgotten on, `tried` is for
choosing settings; the three share no prompt. Two objects are asked for in three ways: directly, in the world's many ways to say it, and
without their names: by a ring's synonym, which training does not forget on, and by a star's description, of which the world knows no word.
"""

import argparse
import json
import pathlib
import shutil
import subprocess

STYLES = ["flat", "striped", "dotted", "pixelated", "glowing", "outlined"]
FORGOTTEN = ["striped", "dotted", "glowing"]
ANCHOR = "flat"
OBJECTS = ["star", "ring"]
SHAPES = ["circle", "square", "triangle", "star", "heart", "ring", "cross", "diamond"]
INSTEAD = "circle"
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


def without(name, forgotten):
    data = out / name
    if not data.exists():
        data.mkdir()
        kept = [entry for entry in pictures if not forgotten(entry["scene"])]
        for entry in kept:
            shutil.copy(out / "all" / entry["file_name"], data / entry["file_name"])
        (data / "metadata.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")


without("data", lambda scene: scene["style"] in FORGOTTEN)
without("data-objects", lambda scene: any(thing["shape"] in OBJECTS for thing in scene["objects"]))

captions = world(
    "captions", "--count", 6000, "--seed", 777, "--one-object", "--captions-only", "--except", out / "all" / "metadata.jsonl"
)
by_style = {style: [] for style in STYLES}
by_shape = {shape: [] for shape in SHAPES}
seen = set()
for entry in captions:
    if entry["text"] not in seen:
        seen.add(entry["text"])
        by_style[entry["scene"]["style"]].append(entry)
        by_shape[entry["labels"]["shape"][0]].append(entry)

asked = [entry for style in STYLES for entry in by_style[style][:ASKED]]
tried = [entry for style in STYLES for entry in by_style[style][ASKED + LEARNT : ASKED + LEARNT + TRIED]]
write("asked.jsonl", "".join(json.dumps(entry) + "\n" for entry in asked))
write("tried.jsonl", "".join(json.dumps(entry) + "\n" for entry in tried))



def concept(name, learnt, bare, anchor, others):
    """The lists of a concept whose prompts are given with the word that asks for it."""
    prompts = [text for _, text in learnt]
    anchored = [text.replace(word, anchor) for word, text in learnt]
    preserved = [text.replace(word, other) for other in others for word, text in learnt]
    write(f"{name}.txt", "\n".join(prompts) + "\n")
    write(f"{name}-anchored.txt", "\n".join(anchored) + "\n")
    write(f"{name}-preserved.txt", "\n".join(preserved) + "\n")
    write(f"{name}-bare.txt", "\n".join(bare) + "\n")
    # ConceptPrune compares 20 pairs, spread over the words.
    spread = range(0, LEARNT, LEARNT // 20)
    write(f"{name}-pairs.txt", one_line([[anchored[i], prompts[i]] for i in spread][:20]) + "\n")


for name, styles in [(style, [style]) for style in FORGOTTEN] + [("jointly", FORGOTTEN)]:
    each = LEARNT // len(styles) + (LEARNT % len(styles) > 0)
    learnt = [(style, entry["text"]) for style in styles for entry in by_style[style][ASKED : ASKED + each]][:LEARNT]
    assert len(learnt) == LEARNT, f"{name}: too few captions"
    bare = [form.format(style) for style in styles for form in ("{}", "{} style", "in {} style", "a {} picture")]
    concept(name, learnt, bare, ANCHOR, [other for other in STYLES if other not in styles])

# Objects: what is asked for directly is said of fresh scenes; nothing of it is among what is learnt.
rows = {"direct": [], "paraphrased": [], "unnamed": [], "others": []}
for shape in OBJECTS:
    named = [entry for entry in by_shape[shape] if shape in entry["text"]]
    learnt = [(shape, entry["text"]) for entry in named[ASKED : ASKED + LEARNT]]
    bare = [form.format(shape) for form in ("{}", "a {}", "a picture of a {}", "one {}")]
    concept(shape, learnt, bare, INSTEAD, [other for other in SHAPES if other not in OBJECTS])
    plain = {}
    for entry in by_shape[shape]:
        scene = entry["scene"]
        thing = scene["objects"][0]
        text = f"a {thing['colour']} {shape}, {scene['background']} background, {scene['style']} style"
        plain.setdefault(text, entry)
    rows["direct"] += [{**entry, "text": text} for text, entry in list(plain.items())[:ASKED]]
    rows["paraphrased"] += named[:ASKED]
    if shape == "ring":
        rows["unnamed"] += [entry for entry in by_shape[shape] if "hoop" in entry["text"]][:ASKED]
    else:
        rows["unnamed"] += [
            {**entry, "text": entry["text"].replace(shape, "shape with five points")} for entry in named[-ASKED:]
        ]
for shape in SHAPES:
    if shape not in OBJECTS:
        rows["others"] += by_shape[shape][:ASKED // 2]
for kind, entries in rows.items():
    write(f"objects-{kind}.jsonl", "".join(json.dumps(entry) + "\n" for entry in entries))
