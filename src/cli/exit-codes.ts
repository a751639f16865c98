/**
 * What a command's exit status means. Scripts depend on these numbers: a meaning is never changed, only added.
 * The numbers are those of DESIGN section 11; 130 is the shell's own convention for Ctrl-C (128 + SIGINT).
 */
export const exitCodes = {
  success: 0,
  failure: 1,
  usage: 2,
  unhealthy: 3,
  notFound: 4,
  conflict: 5,
  permission: 6,
  unreachable: 7,
  timeout: 8,
  interrupted: 130,
} as const;

export type ExitName = keyof typeof exitCodes;

const meanings: Readonly<Record<ExitName, string>> = {
  success: "success",
  failure: "failure",
  usage: "wrong flag, argument or configuration",
  unhealthy: "the cluster or a check is unhealthy",
  notFound: "what was asked for does not exist",
  conflict: "the present state does not allow it",
  permission: "not permitted",
  unreachable: "no node answers",
  timeout: "the deadline passed",
  interrupted: "interrupted",
};

/** The table that `--help` prints below the commands. */
export function exitCodesHelp(): string {
  const lines = Object.entries(exitCodes).map(([name, code]) => {
    const meaning = meanings[name as ExitName]; // Object.entries widens the keys of a closed object
    return `  ${String(code).padStart(3)}  ${meaning}`;
  });
  return ["Exit codes:", ...lines].join("\n");
}
