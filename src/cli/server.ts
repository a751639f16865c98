/** `althing node` as a server: settings and hooks of the command line around `doors/server.ts`. */
import { openServer as open, type Server } from "../doors/server.ts";
import { LogObserver } from "../host/log-observer.ts";
import type { Observer } from "../ports/observer.ts";
import type { NodeSettings } from "./config/node-config.ts";
import { VERSION } from "./version.ts";

export interface ServerHooks {
  /** The node's view of the leader; 0: none known. */
  readonly onLeader: (leader: number, term: number) => void;
}

export interface RunningServer {
  readonly server: Server;
  /** The log of the node, for what the process around it has to say. */
  readonly log: Observer;
}

/** Fails as `openServer` of `doors/server.ts` does. */
export async function openServer(settings: NodeSettings, hooks: ServerHooks): Promise<RunningServer> {
  const log = new LogObserver({ level: settings.logLevel, base: { node: settings.node.id } });
  const server = await open({
    node: settings.node,
    dir: settings.dir,
    listen: settings.listen,
    insecure: settings.insecure,
    observer: log,
    version: VERSION,
    processMetrics: true,
  });
  const { group } = server.node;
  let last = -1;
  const tell = (): void => {
    const leader = group.leader ?? 0;
    if (leader === last) return;
    last = leader;
    hooks.onLeader(leader, group.term);
  };
  group.onChange(tell);
  tell();
  return { server, log };
}
