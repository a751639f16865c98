/**
 * How a command ends badly: one sentence with the cause, the next step where there is one, and an exit code. Whatever a
 * command throws passes through `toFailure` once, in `program.ts`; a bug keeps its stack, everything else is one line.
 */
import { AlthingError, type ErrorCode } from "../base/errors.ts";
import type { ExitName } from "./exit-codes.ts";
import { hint } from "./invocation.ts";

export class CliFailure extends Error {
  readonly exit: ExitName;
  /** A command or an act that the reader can try next. */
  readonly next: string | undefined;
  /** A stable word for scripts: an `ErrorCode`, or a gRPC status. */
  readonly code: string | undefined;

  constructor(
    exit: ExitName,
    message: string,
    options: { readonly next?: string | undefined; readonly code?: string | undefined; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CliFailure";
    this.exit = exit;
    this.next = options.next;
    this.code = options.code;
  }

  /** The failure on one line, as a person reads it. */
  get line(): string {
    const message = this.message.replaceAll("\n", " ").replace(/\.$/, "");
    return this.next === undefined ? message : `${message}. Next: ${this.next}`;
  }
}

/** Every operating error has its exit code: a new one does not compile until it is placed here. */
const exitOfCode: Readonly<Record<ErrorCode, ExitName>> = {
  GROUP_NO_LEADER: "unhealthy",
  GROUP_OVERLOADED: "failure",
  GROUP_DAMAGED: "unhealthy",
  OUTCOME_UNKNOWN: "failure",
  SESSION_EXPIRED: "failure",
  TIMEOUT: "timeout",
  ABORTED: "interrupted",
  CLOSED: "unreachable",
  NOT_LEADER: "conflict",
  MEMBERSHIP_REFUSED: "conflict",
  REQUEST_INVALID: "usage",
  REQUEST_TOO_LARGE: "usage",
  CONFIG_INVALID: "usage",
  DISK_FULL: "failure",
  DISK_FAILED: "failure",
  DATA_LOCKED: "conflict",
  DATA_NEWER: "conflict",
  DATA_FOREIGN: "conflict",
  DATA_CORRUPT: "failure",
  ADDRESS_IN_USE: "conflict",
  ADDRESS_UNSAFE: "usage",
  UNREACHABLE: "unreachable",
};

const nextOfCode = (): Partial<Readonly<Record<ErrorCode, string>>> => ({
  GROUP_NO_LEADER: hint("status"),
  DATA_LOCKED: "stop the process that holds it, or choose another --dir",
  DATA_NEWER: "run the newer version of althing that wrote it",
  DATA_FOREIGN: "check --id, --dir and --consensus: each node has a folder of its own",
  DISK_FULL: "free some space and start again",
});

export function toFailure(error: unknown): CliFailure {
  if (error instanceof CliFailure) return error;
  if (error instanceof AlthingError) {
    return new CliFailure(exitOfCode[error.code], error.message, {
      code: error.code,
      next: nextOfCode()[error.code],
      cause: error,
    });
  }
  if (error instanceof Error && hasErrno(error)) {
    const exit =
      error.code === "EACCES" || error.code === "EPERM"
        ? "permission"
        : error.code === "ENOENT"
          ? "notFound"
          : "failure";
    return new CliFailure(exit, error.message, { code: error.code, cause: error });
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new CliFailure("failure", `Bug in althing: ${message}`, { code: "BUG", cause: error });
}

/** True for errors of the operating system, as Node reports them: they carry a code and a system call. */
export function hasErrno(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && "code" in error && typeof error.code === "string" && "errno" in error;
}
