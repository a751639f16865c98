/**
 * Assertions that stay on in production. A failed assertion is a bug, not an operating error: nothing below `host` or
 * `sim` catches it, and the node stops before it can act on a state it does not understand.
 */

export class AssertionError extends Error {
  readonly details: unknown;

  constructor(message: string, details?: unknown) {
    super(details === undefined ? message : `${message} ${describe(details)}`);
    this.name = "AssertionError";
    this.details = details;
  }
}

/** Stops with `message` unless `condition` holds. `details` are for the reader of the crash report. */
export function assert(condition: boolean, message: string, details?: unknown): asserts condition {
  if (!condition) throw new AssertionError(message, details);
}

/** Marks a place that the types say cannot be reached; a new member of a union does not compile until it is handled. */
export function unreachable(value: never, what = "unreachable"): never {
  throw new AssertionError(what, value);
}

function describe(details: unknown): string {
  try {
    return (
      JSON.stringify(details, (_, value: unknown) =>
        typeof value === "bigint"
          ? `${value}n`
          : value instanceof Uint8Array
            ? `bytes(${value.length})`
            : value instanceof Map
              ? [...value]
              : value instanceof Set
                ? [...value]
                : value,
      ) ?? String(details)
    );
  } catch {
    return String(details);
  }
}
