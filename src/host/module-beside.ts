/**
 * The URL of a module in the same folder, for worker threads and child processes, which take a file and not an import:
 * `.ts` while the sources run unbuilt, `.js` once they are built.
 */
export function moduleBeside(moduleUrl: string, name: string): URL {
  return new URL(`./${name}${moduleUrl.endsWith(".ts") ? ".ts" : ".js"}`, moduleUrl);
}
