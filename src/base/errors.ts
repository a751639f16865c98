/**
 * The one table of operating errors. A new code only where a caller would act differently; `docs/reference/errors.md` is
 * checked against this table. `retry` says whether the same call may be sent again without harm:
 * - `safe`: nothing was done, or doing it twice equals doing it once;
 * - `unsafe`: it may already have been done;
 * - `never`: the same call will fail again.
 * Messages read `Cannot <do what>: <why>`, without a period.
 */
export const errors = {
  GROUP_NO_LEADER: { retry: "safe", text: "no leader answers; an election may be under way" },
  GROUP_OVERLOADED: { retry: "safe", text: "a named limit is reached; wait and send again" },
  GROUP_DAMAGED: { retry: "never", text: "acknowledged log entries are damaged and no peer can repair them" },
  OUTCOME_UNKNOWN: { retry: "unsafe", text: "the write may or may not have happened" },
  SESSION_EXPIRED: { retry: "unsafe", text: "the session was evicted; earlier calls of it may have happened" },
  TIMEOUT: { retry: "unsafe", text: "the call took longer than its deadline" },
  ABORTED: { retry: "unsafe", text: "the caller gave the call up" },
  CLOSED: { retry: "safe", text: "the node is shutting down" },
  NOT_LEADER: { retry: "safe", text: "only the leader can do this" },
  MEMBERSHIP_REFUSED: { retry: "never", text: "the change of members is not allowed in the present state" },
  REQUEST_INVALID: { retry: "never", text: "the request does not follow its protocol" },
  REQUEST_TOO_LARGE: { retry: "never", text: "the request is over a named limit" },
  CONFIG_INVALID: { retry: "never", text: "the configuration or a flag is wrong" },
  DISK_FULL: { retry: "safe", text: "the disk has less free space than the reserve; reads go on" },
  DISK_FAILED: {
    retry: "never",
    text: "the disk returned an error; the node stops, because a later success proves nothing",
  },
  DATA_LOCKED: { retry: "safe", text: "another process holds the data folder" },
  DATA_NEWER: { retry: "never", text: "the data folder was written by a newer version" },
  DATA_FOREIGN: { retry: "never", text: "the data folder belongs to another node or cluster" },
  DATA_CORRUPT: { retry: "never", text: "a file fails its checksum" },
  ADDRESS_IN_USE: { retry: "safe", text: "another program listens on the address" },
  ADDRESS_UNSAFE: {
    retry: "never",
    text: "an address beyond loopback needs TLS and credentials, or an explicit --insecure",
  },
  UNREACHABLE: { retry: "safe", text: "no node of the cluster answers" },
} as const;

export type ErrorCode = keyof typeof errors;

export class AlthingError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { readonly details?: Readonly<Record<string, unknown>>; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AlthingError";
    this.code = code;
    this.details = options.details ?? {};
  }

  /** May the same call be sent again without harm? */
  get retry(): "safe" | "unsafe" | "never" {
    return errors[this.code].retry;
  }
}

/** True if `error` is an operating error with the given code. */
export function hasCode(error: unknown, code: ErrorCode): error is AlthingError {
  return error instanceof AlthingError && error.code === code;
}
