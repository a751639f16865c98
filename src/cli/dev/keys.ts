/** What the person, or a program with `--json`, can tell a running `althing dev`. */
export type DevAction =
  | { readonly type: "kill-leader" }
  | { readonly type: "kill"; readonly id: number }
  | { readonly type: "restart"; readonly id: number | undefined }
  | { readonly type: "status" }
  | { readonly type: "help" }
  | { readonly type: "quit" };

export const KEYS_HELP = "k kill the leader · 1-9 kill that node · r restart · s status · q quit";

/** The action of one key press on a terminal in raw mode. Ctrl-C arrives as a character there. */
export function actionOfKey(key: string): DevAction | undefined {
  switch (key) {
    case "k":
      return { type: "kill-leader" };
    case "r":
      return { type: "restart", id: undefined };
    case "s":
      return { type: "status" };
    case "h":
    case "?":
      return { type: "help" };
    case "q":
    case "\u0003":
    case "\u0004":
      return { type: "quit" };
    default:
      return /^[1-9]$/.test(key) ? { type: "kill", id: Number(key) } : undefined;
  }
}

/** The action of one line on stdin with `--json`: `kill [ID]`, `restart [ID]`, `status`, `quit`. */
export function actionOfLine(line: string): DevAction | undefined {
  const [word, argument, ...rest] = line.trim().split(/\s+/);
  if (rest.length > 0 || (argument !== undefined && !/^[1-9]$/.test(argument))) return undefined;
  const id = argument === undefined ? undefined : Number(argument);
  switch (word) {
    case "kill":
      return id === undefined ? { type: "kill-leader" } : { type: "kill", id };
    case "restart":
      return { type: "restart", id };
    case "status":
      return id === undefined ? { type: "status" } : undefined;
    case "quit":
      return id === undefined ? { type: "quit" } : undefined;
    default:
      return undefined;
  }
}
