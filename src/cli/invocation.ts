/**
 * How the reader can call this program again from where they are. Every hint, `Next:` and banner that names a command takes
 * it from here, so that each can be copied and run.
 *
 * In a clone that is npm's script: npm puts the clone's own Node.js first, and so it works where the installed one is too
 * old. npm runs the script in the clone's folder, which is therefore where relative paths of a hint begin.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

type Environment = Readonly<Record<string, string | undefined>>;

/** `main.ts` in a clone, `main.js` in the built package. */
export function mainFile(): string {
  return fileURLToPath(new URL(isClone() ? "./main.ts" : "./main.js", import.meta.url));
}

/** What stands before the command's name: `npm run -s althing --`, `npx althing` or `althing`. */
export function invocation(): string {
  const where = userFolder(process.env, process.cwd());
  return isClone() ? cloneInvocation(cloneFolder(), where) : installedInvocation(process.argv[1], process.env);
}

/** A whole command line, for example of `status` and its flags. */
export function hint(command: string): string {
  return `${invocation()} ${command}`;
}

/** The folder in which a command runs that the reader copies from a hint. */
export function hintFolder(): string {
  return isClone() ? cloneFolder() : process.cwd();
}

/** npm finds the script from any folder whose nearest package is the clone; from elsewhere it has to be told. */
export function cloneInvocation(clone: string, folder: string): string {
  return nearestPackage(folder) === clone
    ? "npm run -s althing --"
    : `npm --prefix ${shellWord(clone)} run -s althing --`;
}

/** `althing` if the shell finds it by itself; what npx or a script of npm started may be on no path of the shell. */
export function installedInvocation(script: string | undefined, env: Environment): string {
  if (script === undefined || env["npm_command"] !== undefined) return "npx althing";
  const found = (env["PATH"] ?? "").split(path.delimiter).includes(path.dirname(script));
  return found && path.basename(script, ".cmd") === "althing" ? "althing" : "npx althing";
}

/** A word as a POSIX shell reads it back. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function isClone(): boolean {
  return import.meta.url.endsWith(".ts");
}

function cloneFolder(): string {
  return fileURLToPath(new URL("../..", import.meta.url)).replace(/[\\/]$/, "");
}

/** Where the person typed the command: npm changes the folder and leaves the first one in INIT_CWD. */
function userFolder(env: Environment, folder: string): string {
  return env["npm_lifecycle_event"] === undefined ? folder : (env["INIT_CWD"] ?? folder);
}

function nearestPackage(from: string): string | undefined {
  for (let folder = path.resolve(from); ; folder = path.dirname(folder)) {
    if (existsSync(path.join(folder, "package.json"))) return folder;
    if (folder === path.dirname(folder)) return undefined;
  }
}
