/** Randomness. In `host/` from the operating system, in `sim/` from the seed. */
export interface Random {
  /** Uniform in [0, 1). */
  unit(): number;
  /** Uniform integer in [0, bound), bound up to 2^48. */
  below(bound: number): number;
  /** `length` random bytes, fit for secrets in `host/`. */
  bytes(length: number): Uint8Array;
}
