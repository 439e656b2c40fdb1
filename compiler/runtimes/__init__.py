"""The runtimes besides onnxruntime and TensorRT: how a model is converted for each, and how its files are run here.

Each runtime is an optional package. Only the modules of this room import these packages, inside functions, and only in
a child process: some of them print, change the state of the process, or cannot be loaded together.

packages   what each runtime needs, and the command that installs it
process    call a function of this room in a child process
child      the child process
model      load a written model and run it, whatever the runtime
sidecar    the JSON file beside a written model that says how to run it
"""
