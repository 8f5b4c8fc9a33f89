/** Numbers that look random and are the same in every run. */
export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    // xorshift32 (Marsaglia, 2003).
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Cuts bytes into pieces, many of them short. */
export function pieces(bytes: Uint8Array, next: (below: number) => number): readonly Uint8Array[] {
  const cut: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + (next(3) === 0 ? 1 + next(2000) : next(20));
    cut.push(bytes.subarray(at, end));
    at = end;
  }
  return cut;
}
