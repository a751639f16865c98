/** How the reader can call this program again from where they are: in a clone by its path, installed by npx. */
import path from "node:path";
import { fileURLToPath } from "node:url";

/** `main.ts` in a clone, `main.js` in the built package. */
export function mainFile(): string {
  return fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./main.ts" : "./main.js", import.meta.url));
}

export function invocation(script: string | undefined = process.argv[1], folder: string = process.cwd()): string {
  if (script === undefined || !script.endsWith("main.ts")) return "npx althing";
  const relative = path.relative(folder, script);
  return `node ${relative.startsWith("..") ? script : relative}`;
}
