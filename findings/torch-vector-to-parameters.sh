#!/bin/sh
# PyTorch 2.14.1: torch.nn.utils.vector_to_parameters, the counterpart of parameters_to_vector.
#
# Guess: it copies a vector's numbers into the parameters, as load_state_dict does: each keeps its type, and the vector
#        is the caller's own afterwards.
# Seen:  the parameters become views of the vector. Those of a bfloat16 layer are float32 from then on, without a word
#        (twice the memory; the layer's inputs no longer fit, or no longer round), and a step of the optimizer writes
#        into the vector: a global model that is kept to be compared with, sent or averaged later has been trained on.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy  # five gigabytes on Linux: for graphics processors, too
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

print("torch", torch.__version__)
torch.manual_seed(0)


def network():
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1).to(torch.bfloat16))


copied, viewed = network(), network()
copied.load_state_dict({name: array.float() for name, array in viewed.state_dict().items()})
vector_to_parameters(parameters_to_vector(viewed.parameters()).detach(), viewed.parameters())
by_copy = [str(each.dtype) for each in copied.parameters()]
by_view = [str(each.dtype) for each in viewed.parameters()]
print("after load_state_dict:     ", *by_copy)
print("after vector_to_parameters:", *by_view)

layer = torch.nn.Linear(3, 2)
kept = parameters_to_vector(layer.parameters()).detach().clone()
before = kept.clone()
vector_to_parameters(kept, layer.parameters())
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
layer(torch.ones(4, 3)).sum().backward()
optimizer.step()
print("the vector, before and after a step:", *(round(each[0].item(), 3) for each in (before, kept)))
if "torch.bfloat16" not in by_copy or "torch.bfloat16" in by_view:
    raise SystemExit("changed: a layer keeps its type")
if torch.equal(kept, before):
    raise SystemExit("changed: training leaves the vector alone")
PYTHON
