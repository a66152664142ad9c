"""Parts of a flat dict of parameters: `conv0.W`, `conv0.gamma`, … are the part `conv0`."""


def part(params, name):
    """The parameters of a part, without its name."""
    return {key.removeprefix(f"{name}."): value for key, value in params.items() if key.startswith(f"{name}.")}


def named(name, values):
    """Shapes, parameters or gradients of a part, with its name."""
    return {f"{name}.{key}": value for key, value in values.items()}
