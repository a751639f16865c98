/** `althing backup FILE`: saves a snapshot of the cluster. `commands/restore.ts` makes a new cluster of it. */
import { existsSync } from "node:fs";
import path from "node:path";
import { downloadSnapshot } from "../backup/snapshot-download.ts";
import { summaryJson, summaryText } from "../backup/summary.ts";
import type { ClientOptions, CommandContext } from "../context.ts";
import type { ExitName } from "../exit-codes.ts";
import { CliFailure } from "../failure.ts";
import { hint, shellWord } from "../invocation.ts";
import { showBytes } from "../parse.ts";

export interface BackupOptions extends ClientOptions {
  readonly force?: boolean;
}

export async function backup(context: CommandContext, name: string, options: BackupOptions): Promise<ExitName> {
  const { output, signal } = context;
  const file = path.resolve(name);
  if (options.force !== true && existsSync(file)) {
    throw new CliFailure("conflict", `Cannot save to ${name}: the file exists`, {
      next: "choose another name, or replace it with --force",
    });
  }
  const client = await context.client(options);
  const summary = await downloadSnapshot(client, file, {
    signal,
    onProgress: (bytes) => output.progress(`Saving, ${showBytes(bytes)} so far`),
  });
  output.progress("");
  output.record({ file, endpoint: client.endpoint, ...summaryJson(summary) });
  output.line(`saved ${summaryText(summary)} to ${name}`);
  output.note(`A new cluster of it: ${hint(`restore ${shellWord(file)} --dir FOLDER`)}`);
  return "success";
}
