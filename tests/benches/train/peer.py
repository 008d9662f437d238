"""The same training step in eager PyTorch: diffusers' UNet, denoising loss, clipped gradients, fused AdamW.

Told a JSON object on the command line; answers in JSON lines: ready, then seconds and loss for every line that it is sent.
"""

import json
import resource
import sys
import time

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

told = json.loads(sys.argv[1])
torch.set_num_threads(told["threads"])
folder = told["folder"]


def say(what):
    print(json.dumps(what), flush=True)


with open(f"{folder}/config.json", encoding="utf-8") as file:
    unet = UNet2DConditionModel.from_config(json.load(file))
unet.load_state_dict(load_file(f"{folder}/unet.safetensors"))
unet.train()
inputs = load_file(f"{folder}/inputs.safetensors")
parameters = list(unet.parameters())
optimiser = torch.optim.AdamW(parameters, lr=told["rate"], weight_decay=0.0, fused=True)
say({"version": torch.__version__})

for _ in sys.stdin:
    start = time.perf_counter()
    prediction = unet(inputs["sample"], inputs["timesteps"], inputs["context"]).sample
    loss = torch.nn.functional.mse_loss(prediction, inputs["noise"])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step()
    optimiser.zero_grad()
    loss = loss.item()
    say({"seconds": time.perf_counter() - start, "loss": loss})
say({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
