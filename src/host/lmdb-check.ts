/**
 * Opens and verifies one LMDB environment in a process of its own, because LMDB on a damaged file can end its process by
 * a signal. Started by `lmdb-engine.ts`. Exit code 0: sound; 3: damaged, with one line on stdout; a signal: damaged.
 */
import { hasCode } from "../base/errors.ts";
import { lmdbError } from "./lmdb-error.ts";
import { openLmdb } from "./lmdb-native.ts";
import { verifyLmdb } from "./lmdb-verify.ts";

const [folder = "", bytesMax = "0"] = process.argv.slice(2);
try {
  const store = await openLmdb(folder);
  verifyLmdb(store, folder, Number(bytesMax));
  await store.close();
} catch (error) {
  const failure = lmdbError(`open ${folder}`, error);
  process.stdout.write(`${failure.message}\n`);
  process.exitCode = hasCode(failure, "DATA_CORRUPT") ? 3 : 1;
}
