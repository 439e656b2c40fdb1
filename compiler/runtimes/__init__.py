"""The runtimes besides onnxruntime and TensorRT: how a model is converted for each, and how its files are run here.

Each runtime is an optional package. Only the programs of this room import these packages, in a child process: some of
them print, change the state of the process, or need a separate environment.

packages   which Python has the packages of a runtime, and the commands that install them
process    call a function of a program in a child process
programs   what runs there: conversions, and a class `Model` for each runtime
model      the runtimes, and a run of a written model
sidecar    the JSON file beside a written model that says how to run it
"""
