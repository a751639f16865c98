/** What everybody gets who still waits for a group that closes. */
import { AlthingError } from "../base/errors.ts";

export function closedError(): AlthingError {
  return new AlthingError("CLOSED", "Cannot reach the group: the node is shutting down");
}
