"""Hear a baby cry in the street: a whole paper in one file of plain NumPy. `python tutorials/detector.py`, a minute.

W. Wang, C.-C. Kao, C. Wang, *A simple model for detection of rare sound events*, Interspeech 2018. Read it from top to
bottom: sounds, features, network, head and losses, training, score. Every gradient stands below the function that it
differentiates; `dx` is the gradient of the loss with respect to x. The notebooks beside this file derive each line.
"""

import numpy as np

RATE, WIN, HOP, FFT, BANDS = 44100, 2029, 1014, 2048, 64  # frames of 46 ms, one every 23 ms
SECONDS, UNITS, LAYERS, ALPHA = 5, 16, 2, 1.0  # of a clip; of each direction; the weight of the frame loss


# ---- Sounds: five seconds of street, and in every other clip a baby --------------------------------------------------
def voice(rng, is_cry):
    """Ten harmonics of one pitch. A cry rises, falls and trembles; what is no cry, a horn, holds its pitch."""
    t = np.linspace(0, 1, int(rng.uniform(0.7, 1.6) * RATE))
    arch = np.sin(np.pi * t)
    glide = rng.uniform(0.15, 0.4) * arch + 0.01 * np.sin(2 * np.pi * 7 * t) if is_cry else 0 * t
    turning = np.exp(2j * np.pi * np.cumsum(rng.uniform(300, 600) * (1 + glide)) / RATE)
    loudness = np.arange(10, 0, -1) ** -rng.uniform(0.5, 1.2)  # harmonic n is the n-th power of the fundamental
    return np.sqrt(arch) * np.polyval([*loudness, 0], turning).imag


def clip(rng, has_cry):
    """The waveform, and onset and offset of its cry in seconds, NaN without one."""
    n, onset, offset = SECONDS * RATE, np.nan, np.nan
    spectrum = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 20) ** -rng.uniform(0.4, 0.8)  # darker or brighter noise
    y = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * spectrum, n)
    y /= y.std()
    for is_cry in [True] * has_cry + [False] * rng.integers(3):
        sound, level_db = voice(rng, is_cry), rng.choice([-6, 0, 6])  # above the street, by root mean square
        start = rng.integers(n - len(sound))
        y[start : start + len(sound)] += 10 ** (level_db / 20) * sound / sound.std()
        onset, offset = (start / RATE, (start + len(sound)) / RATE) if is_cry else (onset, offset)
    return 0.05 * y, onset, offset


# ---- Features: log filter-bank energies (notebook 1) -----------------------------------------------------------------
def mel_triangles():
    """(BANDS, FFT // 2 + 1) weights of bands of equal width on the mel scale: linear to 1 kHz, logarithmic above."""
    mel, hz = np.linspace(0, 15 + 27 * np.log(RATE / 2000) / np.log(6.4), BANDS + 2), np.fft.rfftfreq(FFT, 1 / RATE)
    edges = np.where(mel < 15, 200 * mel / 3, 1000 * 6.4 ** ((mel - 15) / 27))[:, None]
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    return np.maximum(0, np.minimum((hz - low) / (peak - low), (high - hz) / (high - peak))) * 2 / (high - low)


def lfbe(y, triangles):
    """Waveform → (T, BANDS): frames, window, Fourier transform, power, bands, logarithm."""
    frames = y[HOP * np.arange(1 + (len(y) - WIN) // HOP)[:, None] + np.arange(WIN)]
    power = np.abs(np.fft.rfft(np.hanning(WIN + 1)[:-1] * frames, FFT)) ** 2
    return np.log(np.maximum(power @ triangles.T, 1e-10))


# ---- A layer of gated recurrent units, both directions at once (notebooks 3 and 4) -----------------------------------
def sigmoid(x):
    """1 / (1 + exp(−x)), without overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def gru(x, W, U, b):
    """Features x (B, T, D) → states (B, T, 2H). Axis 0 of all else is the direction: from the front, from the end."""
    x = np.stack([x, x[:, ::-1]])  # (2, B, T, D)
    (_, B, T, _), H, a = x.shape, U.shape[1], x @ W[:, None] + b[:, None, None]
    h, gates = np.zeros((2, B, T + 1, H)), np.empty((2, B, T, 3 * H))  # h[:, :, t] is the state *before* frame t
    for t in range(T):
        z, r = np.split(sigmoid(a[:, :, t, : 2 * H] + h[:, :, t] @ U[:, :, : 2 * H]), 2, axis=2)  # keep, reset
        c = np.tanh(a[:, :, t, 2 * H :] + (r * h[:, :, t]) @ U[:, :, 2 * H :])  # candidate
        h[:, :, t + 1] = z * h[:, :, t] + (1 - z) * c
        gates[:, :, t] = np.concatenate([z, r, c], axis=2)
    return np.concatenate([h[0, :, 1:], h[1, :, :0:-1]], axis=2), (x, h[:, :, :-1], gates)


def gru_backward(dh, cache, W, U):
    """Given dh (B, T, 2H): dx (B, T, D) and dW, dU, db. The last frame that was read comes first."""
    (x, h, gates), H, from_next = cache, U.shape[1], 0
    dh, da = np.stack([dh[..., :H], dh[:, ::-1, H:]]), np.empty_like(gates)  # (2, B, T, H), (2, B, T, 3H)
    z, r, c = np.split(gates, 3, axis=3)
    for t in reversed(range(dh.shape[2])):
        d, h_t, z_t, r_t, c_t = dh[:, :, t] + from_next, *(each[:, :, t] for each in (h, z, r, c))
        da_c = d * (1 - z_t) * (1 - c_t**2)
        dq = da_c @ U[:, :, 2 * H :].swapaxes(1, 2)  # of r ⊙ h
        da[:, :, t] = np.concatenate([d * (h_t - c_t) * z_t * (1 - z_t), dq * h_t * r_t * (1 - r_t), da_c], axis=2)
        from_next = d * z_t + dq * r_t + da[:, :, t, : 2 * H] @ U[:, :, : 2 * H].swapaxes(1, 2)
    parts = (x, da), (h, da[..., : 2 * H]), (r * h, da[..., 2 * H :])
    dW, dU_zr, dU_c = (np.einsum("wbtm,wbtn->wmn", *part, optimize=True) for part in parts)
    dx_front, dx_end = da @ W[:, None].swapaxes(2, 3)
    return dx_front + dx_end[:, ::-1], dW, np.concatenate([dU_zr, dU_c], axis=2), da.sum(axis=(1, 2))


# ---- Encoder: several resolutions (notebook 6) -----------------------------------------------------------------------
def sums(x, n):
    """Sums of n neighbouring frames (of fewer at the end): the transpose of copying each frame n times."""
    return np.add.reduceat(x, range(0, x.shape[1], n), axis=1)


def encode(p, x):
    """(B, T, BANDS) → (B, T, 2 UNITS). Averaged pairs of states go up to the next layer, and, copied, into the sum."""
    s, h, caches = x, 0, []
    for layer in range(LAYERS):
        states, cache = gru(s, p[f"W{layer}"], p[f"U{layer}"], p[f"b{layer}"])
        pair = sums(np.ones_like(states), 2)  # frames in a pair: 2, but 1 for the last of an odd number
        s = sums(states, 2) / pair
        h = h + np.repeat(s, 2 ** (layer + 1), axis=1)[:, : x.shape[1]]
        caches.append((cache, pair, states.shape[1]))
    return h, caches


def encode_backward(dh, p, caches):
    """Gradients of all weights below the head. An average went two ways, so its gradient ds is a sum of two."""
    ds, grads = 0, {}
    for layer in reversed(range(LAYERS)):
        cache, pair, T = caches[layer]
        ds = (ds + sums(dh, 2 ** (layer + 1))) / pair
        ds, *dweights = gru_backward(np.repeat(ds, 2, axis=1)[:, :T], cache, p[f"W{layer}"], p[f"U{layer}"])
        grads |= {f"{name}{layer}": dweight for name, dweight in zip("WUb", dweights, strict=True)}
    return grads


def new_weights(rng):
    """W as Glorot draws it, U orthogonal, b_z = b_r = 1: a little memory to begin with. w is the event vector."""
    p = {"w": rng.uniform(-1, 1, 2 * UNITS) * np.sqrt(1.5 / UNITS)}
    for layer, D in enumerate([BANDS, *[2 * UNITS] * (LAYERS - 1)]):
        p[f"W{layer}"] = rng.uniform(-1, 1, (2, D, 3 * UNITS)) * np.sqrt(6 / (D + UNITS))
        p[f"U{layer}"] = np.concatenate([*np.linalg.qr(rng.standard_normal((3, 2, UNITS, UNITS)))[0]], axis=2)
        p[f"b{layer}"] = np.repeat([[1.0, 1.0, 0.0]] * 2, UNITS, axis=1)
    return p


# ---- Head: one vector for the frames, the attention and the clip; the two losses (notebook 5) ------------------------
def attend(e_t):
    """Frame logits (B, T) → clip logits e = Σ a_t e_t (B,) with a_t = p_t / Σ p_s, and ∂e/∂e_t (B, T)."""
    log_p = -np.logaddexp(0, -e_t)
    a = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    e = (a * e_t).sum(axis=1)
    return e, a * (1 + sigmoid(-e_t) * (e_t - e[:, None]))


def loss_and_grads(p, x, y):
    """Mean of L_utt + α L_frame over a batch, and its gradients; y (B, T) labels the frames. −ln p = ln(1 + e^−x)."""
    h, caches = encode(p, x)
    e_t, has_cry = h @ p["w"], y.any(axis=1)
    e, influence = attend(e_t)
    near = np.stack([np.convolve(row, np.ones(101))[50:-50] > 0.5 for row in y])  # up to 50 frames from the event
    weight = ALPHA * near / np.maximum(near.sum(axis=1, keepdims=True), 1)
    losses = np.logaddexp(0, e) - has_cry * e + (weight * (np.logaddexp(0, e_t) - y * e_t)).sum(axis=1)
    de_t = ((sigmoid(e) - has_cry)[:, None] * influence + weight * (sigmoid(e_t) - y)) / len(x)
    grads = encode_backward(de_t[:, :, None] * p["w"], p, caches)
    return losses.mean(), grads | {"w": np.einsum("bt,btk->k", de_t, h)}


# ---- Training: Adam (notebook 7) -------------------------------------------------------------------------------------
def adam(p, grads, m, v, n, rate):
    """Update number n, in place; gradients are clipped to a joint norm of 1."""
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    for name, g in grads.items():
        g = g / max(1.0, norm)
        m[name] = 0.9 * m.get(name, 0) + 0.1 * g
        v[name] = 0.999 * v.get(name, 0) + 0.001 * g**2
        p[name] -= rate * m[name] / (1 - 0.9**n) / (np.sqrt(v[name] / (1 - 0.999**n)) + 1e-8)


# ---- Score: the longest run, and errors over events (notebook 8) -----------------------------------------------------
def longest_run(p, p_t):
    """Frames (first, end) of the event: none if p ≤ ½, else the longest run of p_t > ½, the first of equals."""
    runs = np.flatnonzero(np.diff(np.r_[0, p_t > 0.5, 0])).reshape(-1, 2) if p > 0.5 else []
    return max(runs, key=lambda run: run[1] - run[0], default=None)


def error_rate(truths, founds):
    """Misses and false alarms over events, from onsets (N,), NaN for none. Within half a second is a hit."""
    hit = np.abs(truths - founds) <= 0.5
    return (np.isfinite([truths, founds]) & ~hit).sum() / np.isfinite(truths).sum()


def main(n_epochs=12, n_train=600, n_test=200, batch=12):
    """Make sounds, train on most of them, print the error rate on the others; the weights and that rate."""
    rng, triangles = np.random.default_rng(0), mel_triangles()
    sounds, *events = zip(*(clip(rng, i % 2 == 0) for i in range(n_train + n_test)), strict=True)
    x, (onsets, offsets) = np.stack([lfbe(y, triangles) for y in sounds]), np.array(events)
    x = (x - x[:n_train].mean(axis=(0, 1))) / x[:n_train].std(axis=(0, 1))
    seconds = (np.arange(x.shape[1]) * HOP + WIN / 2) / RATE  # the time of a frame is that of its centre
    y = ((seconds >= onsets[:, None]) & (seconds < offsets[:, None])).astype(float)
    p, m, v, losses = new_weights(rng), {}, {}, []
    for epoch in range(n_epochs):
        for rows in np.split(rng.permutation(n_train), n_train // batch):
            loss, grads = loss_and_grads(p, x[rows], y[rows])
            losses.append(loss)
            adam(p, grads, m, v, len(losses), rate=5e-3 * (1 - epoch / n_epochs))  # ever smaller steps
        e_t = encode(p, x[n_train:])[0] @ p["w"]
        runs = map(longest_run, sigmoid(attend(e_t)[0]), sigmoid(e_t))
        founds = np.array([np.nan if run is None else seconds[run[0]] for run in runs])
        loss, rate = np.mean(losses[-n_train // batch :]), error_rate(onsets[n_train:], founds)
        print(f"epoch {epoch + 1:2}   loss {loss:.3f}   error rate {rate:.2f}")
    return p, rate


if __name__ == "__main__":
    main()
