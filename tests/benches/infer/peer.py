"""The peers of a large network in Python: eager PyTorch with diffusers, and its export by torch.onnx in ONNX Runtime.

Told a JSON object on the command line, as the engines in Rust are. "export" writes exported-by-torch/unet.onnx below the folder. The others answer in
JSON lines: how long opening took and what memory there is, then seconds for every line that they are sent, at the end memory again; the last
output is left in a file of their name.
"""

import json
import sys
import time

begun = time.perf_counter()
told = json.loads(sys.argv[1])
engine, settings = told["engine"], told["settings"]
folder, threads = settings["folder"], settings["threads"]
exported = f"{folder}/exported-by-torch/unet.onnx"
INPUTS = ["sample", "timestep", "encoder_hidden_states"]


def field(file, name):
    with open(f"/proc/self/{file}", encoding="utf-8") as lines:
        found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 if found else None


def memory():
    return {
        "peak": field("status", "VmHWM"),
        "private": field("status", "RssAnon"),
        "dirty": field("smaps_rollup", "Private_Dirty"),
        "clean": field("smaps_rollup", "Private_Clean"),
    }


def say(what):
    print(json.dumps(what), flush=True)


def serve(step):
    say({"seconds": time.perf_counter() - begun, "memory": memory()})
    output = None
    for _ in sys.stdin:
        start = time.perf_counter()
        output = step()
        say(time.perf_counter() - start)
    end = memory()
    if output is not None:
        output.astype("<f4").tofile(f"{folder}/{engine}")
    say(end)


def network():
    """diffusers' UNet over the checkpoint's own pages."""
    from diffusers import UNet2DConditionModel
    from safetensors.torch import load_file

    with open(f"{folder}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    unet.load_state_dict(load_file(settings["checkpoint"]), assign=True)
    return unet.eval()


if engine == "torch-onnx":
    import onnxruntime
    from safetensors.numpy import load_file

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    given = load_file(f"{folder}/inputs.safetensors")
    feed = {name: given[name] for name in INPUTS}
    serve(lambda: session.run(None, feed)[0])
else:
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    unet = network()
    given = load_file(f"{folder}/inputs.safetensors")
    inputs = tuple(given[name] for name in INPUTS)
    if engine == "torch":
        serve(lambda: unet(*inputs).sample.numpy())
    else:

        class Plain(torch.nn.Module):
            """Tensors in, tensor out."""

            def __init__(self):
                super().__init__()
                self.unet = unet

            def forward(self, sample, timestep, encoder_hidden_states):
                return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]

        # For these sizes alone: whatever that gains is the peer's.
        torch.onnx.export(
            Plain().eval(),
            inputs,
            exported,
            input_names=INPUTS,
            output_names=["out_sample"],
            dynamo=True,
            external_data=True,
            verbose=False,
        )
