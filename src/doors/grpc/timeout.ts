/**
 * The `grpc-timeout` request header: at most eight digits and a unit.
 * Source  gRPC over HTTP/2, "Requests" (Timeout).
 */
const msPerUnit: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

const pattern = /^([0-9]{1,8})([HMSmun])$/;

/** The longest delay that a timer keeps, about 24.8 days; a longer one would fire at once. */
const TIMER_MS_MAX = 0x7fff_ffff;

/** Milliseconds, fractions kept, as far as a timer reaches; undefined if the text does not follow the grammar. */
export function parseGrpcTimeout(text: string): number | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const unit = msPerUnit[match[2] ?? ""];
  return unit === undefined ? undefined : Math.min(Number(match[1]) * unit, TIMER_MS_MAX);
}
