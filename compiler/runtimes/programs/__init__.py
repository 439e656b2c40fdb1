"""Programs that run in the Python of a converter or a runtime. They import nothing of vggc.

Some converters need other versions of onnx or numpy than vggc, and then have a separate environment. So these files are
run as scripts, by their paths, with the standard library, numpy and the packages that they are for.
"""
