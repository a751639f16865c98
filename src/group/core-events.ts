/** Facts of the consensus core, as the Observer hears them. */
import type { GroupId, NodeId } from "../base/ids.ts";
import { incomingVoters } from "../consensus/contract/configuration.ts";
import type { CoreEvent } from "../consensus/contract/core.ts";
import type { Observer } from "../ports/observer.ts";

export function observeCore(
  observer: Observer,
  at: { readonly group: GroupId; readonly nodeId: NodeId },
  event: CoreEvent,
): void {
  const { group } = at;
  switch (event.type) {
    case "role":
      observer.observe({ ...event, type: "role", level: "info", group, node: at.nodeId });
      return;
    case "configuration":
      observer.observe({
        type: "configuration",
        level: "info",
        group,
        index: event.index,
        committed: event.committed,
        voters: incomingVoters(event.configuration),
        outgoing: event.configuration.outgoing,
      });
      return;
    case "need-snapshot":
      return; // the transfer tells of itself
    case "repaired":
    case "stuck":
      observer.observe({ ...event, type: `log-${event.type}`, level: "info", group });
      return;
    case "truncated":
    case "ignored":
      observer.observe({ ...event, type: `log-${event.type}`, level: "debug", group });
      return;
  }
}
