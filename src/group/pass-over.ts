/** For work that is tried again, or only saves some: an operating error is passed over, a bug is not. */
import { AlthingError } from "../base/errors.ts";

/** As the handler of a rejection. What it throws is unhandled and stops the node (`base/assert.ts`). */
export function passOver(error: unknown): void {
  if (!(error instanceof AlthingError)) throw error;
}
